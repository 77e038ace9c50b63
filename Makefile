# Tutti's workshop. "make help" lists the targets.

GO      ?= go
BIN     ?= bin
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

.DEFAULT_GOAL := help
.PHONY: help build web providers dex senders demo test test-acceptance test-cloud test-gitea test-kube test-snippets test-web race lint bench bench-temporal clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

build: web ## build bin/tutti
	$(GO) build -trimpath -o $(BIN)/tutti ./cmd/tutti

web: ## build the UI that is embedded in the program
	scripts/web.sh

providers: ## build the provider plugins that tests, demo and benchmarks use
	scripts/providers.sh

dex: ## build the OpenID Connect provider that tests log in at
	scripts/dex.sh

senders: ## fetch the servers whose events tests listen to: NATS, Mosquitto, Prometheus
	scripts/senders.sh

demo: build providers ## apply, repair, kill, resume and destroy an example on a PostgreSQL server
	scripts/demo.sh

test: lint providers dex senders test-acceptance test-snippets test-web ## vet and run every test
	$(GO) test -timeout 30m ./...

test-snippets: ## check the files of CI systems in docs/ci.md as these systems would
	cd tools/cisnippets && $(GO) test ./...

test-web: build providers dex ## test the UI, by itself and in a real browser
	@if command -v npm >/dev/null; then \
	  cd web && npm test && CHROMIUM="$$(../scripts/browser.sh)" npx playwright test; \
	else echo "no npm: the UI is not tested"; fi

test-acceptance: build ## run the providers' acceptance tests through tutti, and through terraform where installed
	cd tools && TF_ACC=1 TUTTI_BINARY=$(abspath $(BIN))/tutti $(GO) test -count=1 ./...

test-cloud: build ## run a site on a real OpenStack on loopback (see docs/testing.md)
	scripts/providers.sh cloud
	@set -e; trap 'scripts/openstack.sh down' EXIT; trap 'exit 130' INT TERM; \
	  scripts/openstack.sh up; eval "$$(scripts/openstack.sh env)"; \
	  $(GO) test -count=1 -timeout 30m -tags cloud -v ./test/cloud

test-gitea: providers ## follow pull requests at a real Gitea on loopback (see docs/testing.md)
	scripts/gitea.sh
	$(GO) test -count=1 -timeout 10m -tags gitea -run Gitea -v ./test

test-kube: build ## read secrets from a real Kubernetes API on loopback (see docs/testing.md)
	@set -e; trap 'scripts/kubernetes.sh down' EXIT; trap 'exit 130' INT TERM; \
	  scripts/kubernetes.sh up; eval "$$(scripts/kubernetes.sh env)"; \
	  $(GO) test -count=1 -timeout 10m -tags kube -v ./test/kube

race: ## run every test under the race detector
	$(GO) test -race ./...

lint: ## gofmt, go vet and, where installed, golangci-lint
	@unformatted="$$(gofmt -l $$(git ls-files '*.go'))"; \
	  if [ -n "$$unformatted" ]; then echo "not gofmt'ed:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	cd tools && $(GO) vet ./...
	@if command -v golangci-lint >/dev/null; then golangci-lint run ./...; fi

bench: ## run the benchmarks of bench/ (see docs/performance.md)
	$(GO) test -run '^$$' -bench . -benchtime 1x -timeout 2h ./bench/...
	@if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; then \
	  scripts/bench-peers.sh peers; \
	else echo "no PostgreSQL: River and DBOS are left out"; fi

bench-temporal: ## measure workflows beside a Temporal server, which takes many minutes to build
	scripts/bench-peers.sh temporal

clean: ## remove what build made
	rm -rf $(BIN) dist

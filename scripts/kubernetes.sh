#!/usr/bin/env bash
# A Kubernetes API of one's own, on loopback: etcd and kube-apiserver of
# tools/kubelab, as plain processes in a temporary folder. There are no
# controllers and no nodes: objects are kept, and nothing becomes of them.
#
# Usage: scripts/kubernetes.sh build   build the program, where that is not done
#        scripts/kubernetes.sh up      build it, and start what is stopped
#        scripts/kubernetes.sh down    stop everything that up started, and forget it
#        scripts/kubernetes.sh env     print KUBECONFIG, to be eval'ed
#
# The kubeconfig has the contexts admin, who may do everything, and reader,
# stranger and ann, who may do what the API is told to allow them. All but ann,
# who has a client certificate, have tokens.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
note=$root/.cache/kubernetes # where the temporary folder is
umask 077
. scripts/processes.sh

# The program is built anew where its source or its dependencies have changed.
binary=$root/.cache/kubelab/$(cat tools/kubelab/{go.mod,go.sum,main.go} | sha256sum | cut -c1-16)

build() (
  [ ! -x "$binary" ] || return 0
  mkdir -p "$(dirname "$binary")"
  exec 8>"$root/.cache/kubelab/lock"
  flock 8
  [ ! -x "$binary" ] || return 0 # somebody else has
  version=$(sed -n 's/^require k8s.io\/kubernetes v//p' tools/kubelab/go.mod)
  minor=${version#*.}
  echo "kubernetes: building Kubernetes $version, which takes some ten minutes of CPU time" >&2
  # Kubernetes says its version as its own build sets it.
  variables=k8s.io/component-base/version
  flags="-s -w -X $variables.gitVersion=v$version -X $variables.gitMajor=${version%%.*} -X $variables.gitMinor=${minor%%.*}"
  (cd tools/kubelab && CGO_ENABLED=0 nice -n 19 go build -p 2 -trimpath -buildvcs=false -ldflags "$flags" -o "$binary.new" .)
  find "$(dirname "$binary")" -type f ! -name lock ! -name "$(basename "$binary").new" -delete # former ones, of 125 MB each
  mv "$binary.new" "$binary"
)

# certify NAME SUBJECT [EXTENSION]: a key and a certificate of our authority.
certify() {
  openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
  openssl req -new -key "$1.key" -subj "$2" |
    openssl x509 -req -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out "$1.crt" -extfile <(echo "${3-}") 2>>openssl.log
}

# credentials PORT: who there is, how they show it, and the kubeconfig.
credentials() {
  local name
  openssl ecparam -name prime256v1 -genkey -noout -out ca.key
  openssl req -x509 -new -key ca.key -subj /CN=kubelab -days 30 -out ca.crt
  certify apiserver /CN=kube-apiserver "subjectAltName=DNS:localhost,DNS:kubernetes.default.svc,IP:127.0.0.1"
  certify ann /O=people/CN=ann
  openssl genrsa -out accounts.key 2048 2>>openssl.log # signs tokens of service accounts
  {
    printf 'apiVersion: v1\nkind: Config\ncurrent-context: admin\n'
    printf 'clusters:\n- {name: kubelab, cluster: {server: "https://127.0.0.1:%s", certificate-authority: ca.crt}}\n' "$1"
    printf 'users:\n- {name: ann, user: {client-certificate: ann.crt, client-key: ann.key}}\n'
    for name in admin reader stranger; do
      printf -- '- {name: %s, user: {token: %s}}\n' $name "$(openssl rand -hex 16 | tee $name.token)"
    done
    printf 'contexts:\n'
    for name in admin reader stranger ann; do
      printf -- '- {name: %s, context: {cluster: kubelab, user: %s}}\n' $name $name
    done
  } >kubeconfig
  printf '%s,admin,1,system:masters\n%s,reader,2,people\n%s,stranger,3\n' "$(cat admin.token)" "$(cat reader.token)" "$(cat stranger.token)" >tokens.csv
}

ready() {
  curl -sf --max-time 5 --cacert "$dir/ca.crt" -H "Authorization: Bearer $(cat "$dir/admin.token")" "https://127.0.0.1:$1/readyz"
}

up() {
  local program
  for program in curl openssl setsid; do
    command -v $program >/dev/null || fail "it needs $program"
  done
  build
  if [ -s "$note" ]; then
    dir=$(cat "$note")
    ! running etcd || ! running apiserver || return 0
    down # half of it is nothing
  fi
  mkdir -p "$(dirname "$note")"
  dir=$(mktemp -d "${TMPDIR:-/tmp}/tutti-kube-XXXXXX")
  echo "$dir" >"$note"
  trap down EXIT
  trap 'exit 130' INT TERM HUP
  mkdir "$dir"/{run,log}
  cd "$dir"
  # The API server waits for etcd by itself. etcd has sockets and no ports:
  # whoever may not look into the folder does not reach it.
  start etcd "$binary" etcd --data-dir "$dir/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls "unix://$dir/client.sock" --advertise-client-urls "unix://$dir/client.sock" \
    --listen-peer-urls "unix://$dir/peer.sock" --initial-advertise-peer-urls "unix://$dir/peer.sock" --initial-cluster "default=unix://$dir/peer.sock"
  # A port that is free now may be taken a moment later: try again then.
  local port attempt
  for attempt in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 20000))
    credentials $port
    start apiserver "$binary" kube-apiserver --etcd-servers "unix://$dir/client.sock" --bind-address 127.0.0.1 --secure-port $port \
      --tls-cert-file apiserver.crt --tls-private-key-file apiserver.key --client-ca-file ca.crt --token-auth-file tokens.csv \
      --authorization-mode Node,RBAC --endpoint-reconciler-type none --service-cluster-ip-range 10.96.0.0/16 \
      --service-account-issuer https://kubernetes.default.svc --service-account-signing-key-file accounts.key --service-account-key-file accounts.key \
      --enable-priority-and-fairness=false --profiling=false
    if (await apiserver 120 ready $port); then
      trap - EXIT INT TERM HUP
      return
    fi
    ! running apiserver && grep -q 'address already in use' log/apiserver.out || break
  done
  exit 1
}

down() {
  [ -s "$note" ] || return 0 # neither missing nor cut off
  dir=$(cat "$note")
  # Neither has anything to lose, and the API server would take its time.
  stop apiserver KILL
  stop etcd KILL
  rm -rf "$dir" "$note"
}

case ${1-} in
build) build ;;
up | down)
  mkdir -p "$(dirname "$note")"
  exec 9>"$note.lock"
  flock 9
  "$1"
  ;;
env)
  [ -r "$note" ] || fail "it is not up (run scripts/kubernetes.sh up)"
  echo "export KUBECONFIG=$(cat "$note")/kubeconfig"
  ;;
*)
  echo "usage: scripts/kubernetes.sh build|up|down|env" >&2
  exit 2
  ;;
esac

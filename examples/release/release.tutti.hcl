# A release: build, deploy, look whether it is well, ask, tell the others. What
# was deployed is undone when a later step fails.
#
# The workflow is tested without anything real in release.tuttitest.hcl:
#
#     tutti workflow test

environment "staging" {
  labels = { tier = "staging" }
}

environment "prod" {
  labels = { tier = "prod" }
}

# Only one deployment at a time, whatever wants one.
pool "deployments" {
  limit = 1
}

workflow "release" {
  description = "Bring a version to an environment"

  variable "version" {
    type = string

    validation {
      condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", var.version))
      error_message = "A version looks like 1.4.2."
    }
  }

  variable "pager" {
    type    = string
    default = "https://pager.example.com/incidents"
  }

  step "build" {
    exec {
      command = ["./build.sh", var.version]
    }
    cache {
      key = var.version
    }
  }

  step "deploy" {
    needs   = [step.build]
    pool    = pool.deployments
    timeout = "30m"
    exec {
      command = ["./deploy.sh", environment.name, var.version]
    }
    undo {
      exec {
        command = ["./deploy.sh", environment.name, self.outputs.result.previous]
      }
    }
  }

  step "smoke" {
    for_each = toset(step.deploy.outputs.result.urls)
    http {
      url = "${each.value}/healthz"
    }
    retry {
      attempts    = 5
      backoff     = "10s"
      max_backoff = "1m"
      jitter      = true
    }
  }

  step "bake" {
    needs = [step.smoke]
    when  = environment.labels.tier == "prod"
    wait {
      duration = "7d"
    }
  }

  step "sign_off" {
    needs = [step.bake]
    when  = environment.labels.tier == "prod"
    approval {
      message     = "Is ${var.version} good enough for everybody?"
      roles       = ["release-manager"]
      expires     = "24h"
      forbid_self = true
    }
  }

  step "announce" {
    needs = [step.sign_off]
    emit {
      type = "release.finished"
      data = { version = var.version, environment = environment.name }
    }
  }

  on_failure {
    step "page" {
      http {
        method = "POST"
        url    = var.pager
        body   = run.error
      }
    }

    step "mourn" {
      emit {
        type = "release.failed"
        data = { version = var.version, step = run.error.step }
      }
    }
  }

  output "urls" {
    value = step.deploy.outputs.result.urls
  }
}

# Tests of the workflow "release": nothing in them is real, and a week of waiting
# takes no time.

workflow    = workflow.release
environment = "prod"
variables   = { version = "1.4.2" }
start       = "2026-03-29T00:30:00Z"

# What all tests have in common.
mock "deploy" {
  outputs = {
    result = { urls = ["http://a", "http://b"], previous = "1.4.1" }
  }
  duration = "5m"
}

test "goes out after a week and a signature" {
  approve {
    step  = "sign_off"
    after = "2h"
    by    = "bob"
  }

  assert {
    condition     = run.status == "succeeded" && run.duration == 7 * 24 * 3600 + 2 * 3600 + 300
    error_message = "It must bake for a week, and then wait for a signature."
  }

  assert {
    condition     = path == ["build", "deploy", "smoke[\"http://a\"]", "smoke[\"http://b\"]", "bake", "sign_off", "announce"]
    error_message = "The path is another one."
  }

  assert {
    condition     = events[0].type == "release.finished" && events[0].data.environment == "prod"
    error_message = "The others are not told."
  }

  assert {
    condition     = output.urls == ["http://a", "http://b"]
    error_message = "The addresses are wrong."
  }
}

test "is rolled back when a smoke test keeps failing" {
  mock "smoke[\"http://b\"]" {
    error {
      name  = "Tutti.StatusCode.500"
      cause = "broken"
    }
  }

  assert {
    condition     = run.status == "failed" && run.error.step == "smoke"
    error_message = "It must fail with the smoke test."
  }

  assert {
    condition     = step.smoke.items["http://b"].error.name == "Tutti.StatusCode.500"
    error_message = "The error is another one."
  }

  assert {
    condition     = [for c in calls : c.arguments.command if c.step == "deploy.undo"] == [tolist(["./deploy.sh", "prod", "1.4.1"])]
    error_message = "The version before must be deployed again."
  }

  assert {
    condition     = contains(path, "page") && contains(events[*].type, "release.failed")
    error_message = "Somebody must hear of it."
  }
}

test "one bad answer does no harm" {
  environment = "staging"

  mock "smoke" {
    error {
      name = "Tutti.StatusCode.503"
    }
    times = 1
  }

  assert {
    condition     = run.status == "succeeded" && step.smoke.attempts == 4
    error_message = "The smoke tests must be tried again."
  }

  assert {
    condition     = step.sign_off.status == "skipped"
    error_message = "Nobody signs for staging."
  }
}

test "nobody signs" {
  assert {
    condition     = step.sign_off.error.name == "Tutti.ApprovalExpired" && contains(path, "deploy.undo")
    error_message = "What nobody signs is taken back after a day."
  }
}

test "somebody says no" {
  reject {
    step    = "sign_off"
    by      = "bob"
    comment = "too slow"
  }

  assert {
    condition     = step.sign_off.error.cause == "Rejected by bob: too slow"
    error_message = "The rejection must say who and why."
  }
}

test "hangs while deploying" {
  mock "deploy" {
    duration = "31m"
  }

  assert {
    condition     = step.deploy.error.name == "Tutti.Timeout" && run.duration == 30 * 60
    error_message = "A deployment takes half an hour at most."
  }
}

test "is cancelled while it bakes" {
  cancel {
    at = "2d"
  }

  assert {
    condition     = run.status == "cancelled" && !contains(path, "deploy.undo")
    error_message = "A cancel leaves what was deployed."
  }
}

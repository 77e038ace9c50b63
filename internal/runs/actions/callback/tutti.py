# Tells Tutti what a playbook does: one JSON object per event, each on a line of
# its own on standard output. For ansible-core 2.14 and later.
from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r"""
name: tutti
type: stdout
short_description: one JSON object per event
description:
  - Tells Tutti what a playbook does.
"""

import json
import os
import sys

from ansible.plugins.callback import CallbackBase

# How much of one text is told.
LIMIT = 16 * 1024


def cut(text):
    """The end of a text: that is where programs say what is wrong."""
    if not isinstance(text, str):
        text = json.dumps(text, default=str, sort_keys=True)
    return text if len(text) <= LIMIT else "… " + text[-LIMIT:]


def field(result, name):
    """Results have public names from 2.19 on, and had private ones before."""
    return getattr(result, name) if hasattr(result, name) else getattr(result, "_" + name)


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "tutti"

    def emit(self, event, **fields):
        line = {"tutti": event}
        line.update(fields)
        # One write, so that nothing comes in between.
        sys.stdout.write(json.dumps(line, default=str) + "\n")
        sys.stdout.flush()

    def outcome(self, status, result, **fields):
        task, data = field(result, "task"), dict(field(result, "result"))
        host = field(result, "host").get_name()
        delegate = getattr(task, "delegate_to", None)
        if isinstance(delegate, str) and delegate != host and "{{" not in delegate:
            fields["delegate"] = delegate
        if status == "ok" and data.get("changed"):
            status = "changed"
        # What Ansible hides is "censored" already; this is for when it forgets.
        hidden = "censored" in data or data.get("_ansible_no_log") or getattr(task, "no_log", False) is True
        if status == "skipped":
            msg = ""
        elif hidden:
            msg = "hidden: no_log"
        elif status in ("failed", "unreachable"):
            msg = self.what_failed(data)
        else:
            msg = self.what_is_shown(data)
            if data.get("diff") and "results" not in data:
                fields["diff"] = cut(self._get_diff(data["diff"]))
        self.emit("outcome", status=status, host=host, task=task.get_name(), msg=msg, **fields)

    def item(self, status, result):
        data = dict(field(result, "result"))
        hidden = "censored" in data or data.get("_ansible_no_log") or getattr(field(result, "task"), "no_log", False) is True
        label = "hidden: no_log" if hidden else cut(self._get_item_label(data))
        self.outcome(status, result, item=label)

    def what_failed(self, data):
        if isinstance(data.get("results"), list):
            failed = [r for r in data["results"] if isinstance(r, dict) and (r.get("failed") or r.get("unreachable"))]
            parts = []
            for r in failed:
                if "censored" in r or r.get("_ansible_no_log"):
                    parts.append("hidden: no_log")
                else:
                    parts.append("(item=%s) %s" % (cut(self._get_item_label(r)), self.what_failed(r)))
            if parts:
                return cut("\n".join(parts))
        parts = []
        if data.get("msg"):
            parts.append(cut(data["msg"]))
        if data.get("rc") not in (None, 0, ""):
            parts.append("exit status %s" % data["rc"])
        for name in ("stderr", "module_stderr", "stdout", "module_stdout"):
            if isinstance(data.get(name), str) and data[name].strip() and data[name].strip() not in "\n".join(parts):
                parts.append("%s: %s" % (name, cut(data[name].strip())))
        if not parts:
            parts.append(cut(self.public(data)))
        return cut("\n".join(parts))

    def what_is_shown(self, data):
        """Only tasks such as debug are there to show something."""
        if not data.get("_ansible_verbose_always") or "results" in data:
            return ""
        return cut(data["msg"]) if "msg" in data else cut(self.public(data))

    def public(self, data):
        left_out = ("changed", "failed", "invocation", "exception", "deprecations", "warnings")
        return dict((k, v) for k, v in data.items() if not k.startswith("_ansible") and k not in left_out)

    def v2_playbook_on_start(self, playbook):
        self.emit("playbook", name=os.path.basename(playbook._file_name))

    def v2_playbook_on_play_start(self, play):
        self.emit("play", name=play.get_name().strip())

    def v2_playbook_on_no_hosts_matched(self):
        self.emit("note", msg="no hosts matched")

    def v2_playbook_on_no_hosts_remaining(self):
        self.emit("note", msg="no hosts are left")

    def v2_playbook_on_task_start(self, task, is_conditional):
        self.emit("task", name=task.get_name().strip())

    def v2_playbook_on_cleanup_task_start(self, task):
        self.emit("task", name=task.get_name().strip())

    def v2_playbook_on_handler_task_start(self, task):
        self.emit("task", name=task.get_name().strip(), handler=True)

    def v2_runner_on_ok(self, result):
        self.outcome("ok", result)

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self.outcome("failed", result, ignored=bool(ignore_errors))

    def v2_runner_on_unreachable(self, result):
        self.outcome("unreachable", result)

    def v2_runner_on_skipped(self, result):
        self.outcome("skipped", result)

    def v2_runner_item_on_ok(self, result):
        self.item("ok", result)

    def v2_runner_item_on_failed(self, result):
        self.item("failed", result)

    def v2_runner_item_on_skipped(self, result):
        self.item("skipped", result)

    def v2_runner_retry(self, result):
        data = field(result, "result")
        left = int(data.get("retries") or 0) - int(data.get("attempts") or 0)
        self.outcome("retrying", result, left=left)

    def v2_playbook_on_stats(self, stats):
        self.emit("stats", hosts=dict((h, stats.summarize(h)) for h in sorted(stats.processed)))

import { useEffect, useMemo, useState, type KeyboardEvent } from "react";
import type { Page, Run, Stack, Workflow } from "../api/client";
import { useResource } from "../lib/feed";
import { find } from "../lib/fuzzy";
import { useBindings } from "../lib/keys";
import { places } from "../lib/places";
import { go, runHref, stackHref, workflowHref } from "../lib/router";
import { Dialog } from "./dialog";
import { Icon, type IconName } from "./icons";
import { title } from "./runs";

interface Command {
  id: string;
  icon: IconName;
  title: string;
  kind: string;
  run: () => void;
}

/** Keys that say nothing to who does not press them: ways to pages, which have their names, and steps. */
const onlyKeys = /^(g .|j|k|Escape)$/;

/** How many commands are shown at once. */
const most = 12;

/** Goes anywhere and does anything, by a few letters of its name. */
export function Palette({ onClose }: { onClose: () => void }) {
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const commands = useCommands();
  const shown = useMemo(() => find(typed, commands, (c) => `${c.title} ${c.kind}`, most), [typed, commands]);
  const choose = (command?: Command) => {
    if (!command) return;
    onClose();
    command.run();
  };
  useEffect(() => {
    document.getElementById(`palette-${at}`)?.scrollIntoView({ block: "nearest" });
  }, [at]);
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Enter") choose(shown[at]);
    else if (event.key === "ArrowDown") setAt((i) => Math.min(shown.length - 1, i + 1));
    else if (event.key === "ArrowUp") setAt((i) => Math.max(0, i - 1));
    else return;
    event.preventDefault();
  };
  return (
    <Dialog label="Search or go to" className="palette" onClose={onClose}>
      <input
        className="palette-input"
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls="palette-list"
        aria-activedescendant={shown[at] && `palette-${at}`}
        aria-label="Search or go to"
        placeholder="Page, stack, workflow, run …"
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value);
          setAt(0);
        }}
        onKeyDown={pressed}
      />
      <div className="palette-list" id="palette-list" role="listbox" aria-label="What was found">
        {shown.map((c, i) => (
          <div
            key={c.id}
            id={`palette-${i}`}
            role="option"
            aria-selected={i === at}
            className="palette-item"
            onMouseMove={() => setAt(i)}
            onClick={() => choose(c)}
          >
            <Icon name={c.icon} />
            <span className="clip">{c.title}</span>
            <span className="palette-kind">{c.kind}</span>
          </div>
        ))}
        {shown.length === 0 && <div className="palette-item muted">Nothing is called so.</div>}
      </div>
    </Dialog>
  );
}

/** Everything that the palette can do, what is used most first. */
function useCommands(): Command[] {
  const stacks = useResource<Page<Stack>>("/stacks");
  const workflows = useResource<Page<Workflow>>("/workflows");
  const runs = useResource<Page<Run>>("/runs", { limit: 50 });
  const bindings = useBindings();
  return useMemo(
    () => [
      ...places.map((p): Command => ({
        id: p.href,
        icon: p.icon,
        title: p.title,
        kind: "page",
        run: () => go(p.href),
      })),
      ...(stacks.data?.items ?? []).map((s): Command => {
        const href = stackHref(s);
        return {
          id: href,
          icon: "stacks",
          title: `${s.name || s.source} in ${s.environment}`,
          kind: "stack",
          run: () => go(href),
        };
      }),
      ...(workflows.data?.items ?? []).map((w): Command => {
        const href = workflowHref(w.name);
        return { id: href, icon: "workflows", title: w.name, kind: "workflow", run: () => go(href) };
      }),
      ...bindings
        .filter((b) => !onlyKeys.test(b.keys))
        .map((b): Command => ({ id: "key " + b.keys, icon: "keyboard", title: b.title, kind: b.keys, run: b.run })),
      ...(runs.data?.items ?? []).map((r): Command => ({
        id: r.id,
        icon: "runs",
        title: `${title(r)} ${r.id}`,
        kind: `run, ${r.status}`,
        run: () => go(runHref(r.id)),
      })),
    ],
    [stacks.data, workflows.data, runs.data, bindings],
  );
}

import type { ReactNode } from "react";
import type { Run, Step } from "../api/client";
import { useItems, type Item, type Items } from "../lib/items";
import { Link, runHref, useLocation } from "../lib/router";
import { Empty, Facts, QueryFilter, SidePanel, Skeleton, Trouble } from "./basics";
import { Rows } from "./rows";
import { Status } from "./status";
import { Ago, Took } from "./time";

const statuses = ["running", "failed", "caught", "waiting", "succeeded", "skipped", "cancelled"];

/** The key of an item: what is between the brackets behind the name of its step, without quotes. */
function keyOf(item: string, step: string): string {
  const key = item.slice(step.length + 1, -1);
  try {
    return String(JSON.parse(key));
  } catch {
    return key;
  }
}

/** The items of a step with for_each, one by one, with what one of them wrote. */
export function ItemsView({
  run,
  step,
  chosen,
  news,
  onChoose,
  logs,
  aside,
}: {
  run: Run;
  step: Step;
  /** The name of the item that is looked at. */
  chosen?: string;
  /** Changes with whatever happens in the run. */
  news: unknown;
  onChoose: (item?: string) => void;
  logs: ReactNode;
  /** What stands beside the items as long as none is chosen. */
  aside: ReactNode;
}) {
  const status = useLocation().query.get("items") ?? undefined;
  const items = useItems(run.id, step.name, status, news);
  const item = items.list.find((i) => i?.name === chosen);
  return (
    <div className="with-side">
      <div className="stack">
        <ItemTable step={step} items={items} status={status} chosen={chosen} onChoose={onChoose} />
        {logs}
      </div>
      {item ? <ItemPanel item={item} step={step.name} onClose={() => onChoose(undefined)} /> : aside}
    </div>
  );
}

function ItemTable({
  step,
  items,
  status,
  chosen,
  onChoose,
}: {
  step: Step;
  items: Items;
  status?: string;
  chosen?: string;
  onChoose: (item?: string) => void;
}) {
  const there = statuses.filter((s) => items.counts[s] || s === status);
  return (
    <section className="stack tight" aria-label={`Items of ${step.name}`}>
      <div className="toolbar">
        <QueryFilter label="Status of items" parameter="items" values={there} counts={items.counts} />
      </div>
      <Trouble problem={items.problem} />
      {!items.loaded && !items.problem && <Skeleton />}
      {items.loaded && items.list.length === 0 && (
        <div className="panel">
          <Empty icon="runs" title={status ? "No item stands so" : "No items"}>
            <p>{!status && (step.begun ? "What for_each gave was empty." : "They are known once the step begins.")}</p>
          </Empty>
        </div>
      )}
      {items.list.length > 0 && (
        <Rows
          label={`Items of ${step.name}`}
          columns="112px minmax(0, 1fr) 76px 84px"
          narrow="112px minmax(0, 1fr) 64px"
          heads={["Status", "Item", "Attempts", "Took"]}
          wide={["Attempts"]}
          items={items.list}
          keyOf={(item, i) => item?.name ?? String(i)}
          onSeen={items.onSeen}
          height="min(44vh, 420px)"
        >
          {(item) =>
            item ? (
              <ItemCells item={item} step={step.name} chosen={item.name === chosen} onChoose={onChoose} />
            ) : (
              <span role="cell" className="muted">
                …
              </span>
            )
          }
        </Rows>
      )}
    </section>
  );
}

function ItemCells({
  item,
  step,
  chosen,
  onChoose,
}: {
  item: Item;
  step: string;
  chosen: boolean;
  onChoose: (item?: string) => void;
}) {
  return (
    <>
      <span role="cell">
        <Status status={item.status} />
      </span>
      <span role="cell" className="clip">
        <button
          className="link clip mono"
          aria-pressed={chosen}
          title={item.name}
          onClick={() => onChoose(chosen ? undefined : item.name)}
        >
          {keyOf(item.name, step)}
        </button>
        {item.error && (
          <div className="problem clip" title={item.error.cause}>
            {item.error.name}: {item.error.cause}
          </div>
        )}
        {item.waits && <div className="sub-line clip">waits {item.waits}</div>}
      </span>
      <span role="cell" className="wide number muted">
        {item.attempts ?? ""}
      </span>
      <span role="cell" className="small muted">
        <Took begun={item.begun} ended={item.ended} />
      </span>
    </>
  );
}

/** All about one item. */
function ItemPanel({ item, step, onClose }: { item: Item; step: string; onClose: () => void }) {
  return (
    <SidePanel
      label={`Item ${item.name}`}
      title={keyOf(item.name, step)}
      beside={<Status status={item.status} />}
      onClose={onClose}
    >
      <div className="panel-body stack">
        <Facts
          list={[
            ["Item of", step],
            ["Attempts", item.attempts],
            ["Began", item.begun && <Ago time={item.begun} />],
            ["Took", item.begun && <Took begun={item.begun} ended={item.ended} />],
            ["Waits", item.waits],
            ["Undone", item.undone && "What it did was taken back."],
          ]}
        />
        {item.error && (
          <div className="callout bad">
            <div>
              <strong>{item.error.name}</strong>
              <p>{item.error.cause}</p>
            </div>
          </div>
        )}
        {item.run && (
          <div className="actions">
            <Link className="button slim" href={runHref(item.run)}>
              Open its run
            </Link>
          </div>
        )}
      </div>
    </SidePanel>
  );
}

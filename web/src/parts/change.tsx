import { memo } from "react";
import { reasonOf, type Cause, type Causes } from "../lib/causes";
import { count, money } from "../lib/format";
import type { ResourceChange } from "../lib/plandiff";
import type { CostItem, Finding } from "../lib/plandocument";
import { kindOf, moduleOf, signOf } from "../lib/plangroup";
import { Copy } from "./copy";
import { Diff } from "./diff";
import { Findings } from "./findings";
import { Icon } from "./icons";
import { Status } from "./status";

interface Props {
  id: string;
  change: ResourceChange;
  findings?: Finding[];
  cost?: CostItem;
  causes?: Causes;
  open: boolean;
  onToggle: (id: string) => void;
  onGo?: (address: string) => void;
}

/** One change: a line that says what happens and, opened, all about it. */
export const ChangeView = memo(function ChangeView({
  id,
  change,
  findings = [],
  cost,
  causes,
  open,
  onToggle,
  onGo = () => undefined,
}: Props) {
  const kind = kindOf(change);
  const reason = reasonOf(change);
  return (
    <article className={`change change-${kind}`} id={`change-${id}`} aria-label={`${kind} ${change.address}`}>
      <div className="change-line">
        <button className="change-head" aria-expanded={open} onClick={() => onToggle(id)}>
          <Icon name={open ? "down" : "right"} size={14} />
          <span className="sign">
            <span aria-hidden="true">{signOf(kind)}</span>
            <span className="change-kind">{kind}</span>
          </span>
          <Address of={change.address} />
          {change.deposed && <span className="tag warn">deposed {change.deposed}</span>}
          {reason && <span className="muted small change-reason">{reason}</span>}
          <span className="change-notes">
            {findings.length > 0 && <Status status={findings[0]!.status} word={count(findings.length, "finding")} />}
            <CostNote item={cost} />
          </span>
        </button>
        <Copy text={change.address} what="the address" />
      </div>
      {open && (
        <div className="change-body">
          {findings.length > 0 && <Findings list={findings} />}
          {change.previous_address && (
            <p className="small pad">
              It was called <code>{change.previous_address}</code>.
            </p>
          )}
          {causes && <Why change={change} causes={causes} onGo={onGo} />}
          <Diff change={change.change} />
          {cost && <CostTable item={cost} />}
        </div>
      )}
    </article>
  );
});

/** An address, in which the name stands out from the module that is told above it. */
function Address({ of: address }: { of: string }) {
  const module = moduleOf(address);
  const at = module ? module.length + 1 : 0;
  return (
    <code className="change-address">
      {module && <span className="change-module">{address.slice(0, at)}</span>}
      {address.slice(at)}
    </code>
  );
}

function CostNote({ item }: { item?: CostItem }) {
  const totals = (item?.totals ?? []).filter((t) => Number(t.difference) !== 0);
  return totals.map((t) => (
    <span key={t.currency} className="tag number">
      <Icon name="coins" size={12} /> {money(Number(t.difference), t.currency)}/month
    </span>
  ));
}

/** Why it is changed, beside the reasons of its own that its line tells: what it needs changes too. */
function Why({ change, causes, onGo }: { change: ResourceChange; causes: Causes; onGo: (address: string) => void }) {
  const kind = kindOf(change);
  // What is made anew needs others, but not because they change.
  const behind = kind === "create" ? [] : causes.of(change.address);
  const follows = causes.follows(change.address);
  if (behind.length === 0 && follows === 0) return null;
  return (
    <div className="why">
      {behind.length > 0 && (
        <div>
          <p>
            <Icon name="cause" size={14} /> What it needs changes, too:
          </p>
          <CauseList list={behind} onGo={onGo} />
        </div>
      )}
      {follows > 0 && (
        <p className="muted">{count(follows, "resource that changes needs", "resources that change need")} this one.</p>
      )}
    </div>
  );
}

function CauseList({ list, onGo }: { list: Cause[]; onGo: (address: string) => void }) {
  return (
    <ul className="causes">
      {list.map((c) => (
        <li key={c.address}>
          <span className={`cause-kind change-${c.kind}`}>
            {signOf(c.kind)} {c.kind}
          </span>{" "}
          <button className="link mono" onClick={() => onGo(c.address)}>
            {c.address}
          </button>
          {c.count > 1 && <span className="muted"> ({count(c.count, "instance")})</span>}
          {c.reads.length > 0 && <span className="muted"> read for {c.reads.slice(0, 5).join(", ")}</span>}
          {c.causes.length > 0 && <CauseList list={c.causes} onGo={onGo} />}
        </li>
      ))}
    </ul>
  );
}

/** What the object costs a month, part by part, before and after. */
function CostTable({ item }: { item: CostItem }) {
  const names = [...new Set([item.before, item.after].flatMap((side) => (side?.components ?? []).map((c) => c.name)))];
  const unknown = [...new Set([...(item.before?.unknown ?? []), ...(item.after?.unknown ?? [])])];
  if (names.length === 0 && unknown.length === 0) return null;
  const cell = (side: CostItem["before"], name: string) => {
    const c = side?.components.find((part) => part.name === name);
    if (!c) return "–";
    return c.unknown ? "not known" : `${Number(c.monthly).toFixed(2)} ${c.currency}`;
  };
  return (
    <div className="pad">
      {names.length > 0 && (
        <table className="cost-table">
          <thead>
            <tr>
              <th>Cost a month</th>
              <th>Before</th>
              <th>After</th>
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name}>
                <td>{name}</td>
                <td className="number">{cell(item.before, name)}</td>
                <td className="number">{cell(item.after, name)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {unknown.length > 0 && <p className="muted small">Not known: {unknown.join("; ")}.</p>}
    </div>
  );
}

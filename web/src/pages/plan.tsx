import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { PlanDocument } from "../api/client";
import { resourceOf } from "../lib/causes";
import { useResource } from "../lib/feed";
import { count, money, short } from "../lib/format";
import { useKeys } from "../lib/keys";
import { stackPlans, sumOf, titleOf, worst, type StackPlan } from "../lib/plandocument";
import { kinds, type Filter, type Kind } from "../lib/plangroup";
import { countKinds, planRows, type PlanRow } from "../lib/planrows";
import { runHref, setQuery, useLocation } from "../lib/router";
import { Empty, FilterButton, PageHead, Search, Skeleton, Trouble } from "../parts/basics";
import { ChangeView } from "../parts/change";
import { Copy } from "../parts/copy";
import { Findings } from "../parts/findings";
import { Icon } from "../parts/icons";
import { Review } from "../parts/review";
import { Status } from "../parts/status";
import { NotJudged, Overrides } from "../parts/verdict";

/** So many changes are open to begin with. */
const fewChanges = 25;

export function PlanPage({ digest }: { digest: string }) {
  const run = useLocation().query.get("run");
  const plan = useResource<PlanDocument>(`/plans/${digest}`, run ? { run } : {});
  const plans = useMemo(() => plan.data && stackPlans(plan.data), [plan.data]);
  if (!plans || !plan.data) {
    return (
      <>
        <PageHead name={`Plan ${short(digest)}`} />
        <Trouble problem={plan.problem} />
        {!plan.problem && <Skeleton lines={8} />}
      </>
    );
  }
  return <Reviewed document={plan.data} plans={plans} />;
}

function Reviewed({ document, plans }: { document: PlanDocument; plans: StackPlan[] }) {
  const { query } = useLocation();
  const asked = query.toString();
  const filter = useMemo(() => filterOf(new URLSearchParams(asked)), [asked]);
  const [closed, setClosed] = useState<Set<string>>(new Set());
  const total = plans.reduce((n, p) => n + p.changes.length, 0);
  const rows = useMemo(() => planRows(plans, filter, closed), [plans, filter, closed]);
  const changes = useMemo(() => rows.filter((r) => r.is === "change"), [rows]);
  const [open, setOpen] = useState<Set<string>>(() => new Set(total <= fewChanges ? changes.map((r) => r.id) : []));
  const toggle = useCallback((id: string) => setOpen((before) => flipped(before, id)), []);
  const list = useRows(rows);
  const show = useCallback(
    (address: string) => {
      const row = rows.findIndex(
        (r) => r.is === "change" && (r.change.address === address || resourceOf(r.change.address) === address),
      );
      if (row < 0) return;
      setOpen((before) => new Set(before).add(rows[row]!.id));
      list.reveal(row);
    },
    [rows, list],
  );
  const run = query.get("run");
  const openAll = () => setOpen(new Set(changes.map((r) => r.id)));
  const closeAll = () => setOpen(new Set());
  const judged = plans.every((p) => !p.stack.problem);
  const status = worst(plans.map((p) => p.status));
  useKeys([
    { keys: "j", title: "Next change", run: () => list.step(1) },
    { keys: "k", title: "Change before", run: () => list.step(-1) },
    { keys: "n", title: "Next change with findings", run: () => list.step(1, hasFindings) },
    { keys: "x", title: "Open all changes that are listed", run: openAll },
    { keys: "z", title: "Close all changes", run: closeAll },
  ]);
  return (
    <>
      <div className="plan-head">
        <PageHead
          name={titleOf(document)}
          crumbs={
            run
              ? [
                  ["/runs", "Runs"],
                  [runHref(run), "Its run"],
                ]
              : []
          }
          beside={
            judged ? (
              status && <Status status={status} word={`policy: ${status}`} />
            ) : (
              <Status status="deny" word="not judged" />
            )
          }
          sub={<Totals document={document} plans={plans} total={total} />}
        >
          <Review digest={document.digest} denied={status === "deny"} judged={judged} />
        </PageHead>
        {total > 0 && <Filters plans={plans} filter={filter} onOpen={openAll} onClose={closeAll} />}
      </div>
      {total === 0 && plans.every((p) => p.outputs.length === 0) && (
        <Empty icon="check" title="No changes">
          <p>What is there is as the configuration says.</p>
        </Empty>
      )}
      <div className="rows" ref={list.box} style={{ height: list.height }} role="list" aria-label="Changes">
        {list.items.map((item) => {
          const row = rows[item.index]!;
          return (
            <div
              key={item.key}
              role="listitem"
              data-index={item.index}
              ref={list.measure}
              style={{ transform: `translateY(${item.start - list.margin}px)` }}
            >
              <RowView
                row={row}
                open={open.has(row.id)}
                onToggle={toggle}
                onGo={show}
                onModule={(id) => setClosed((before) => flipped(before, id))}
              />
            </div>
          );
        })}
      </div>
      {total > 0 && changes.length === 0 && <Empty icon="search" title="No change is like this" />}
    </>
  );
}

function flipped(set: Set<string>, id: string): Set<string> {
  const out = new Set(set);
  if (!out.delete(id)) out.add(id);
  return out;
}

function Totals({ document, plans, total }: { document: PlanDocument; plans: StackPlan[]; total: number }) {
  const kindCounts = countKinds(plans);
  const unknown = plans.reduce((n, p) => n + p.costUnknown, 0);
  return (
    <div className="row plan-totals">
      <span>{count(total, "change")}</span>
      {kinds.map(([kind, sign]) => {
        const n = kindCounts.get(kind);
        return n ? (
          <span key={kind} className={`total change-${kind}`}>
            {sign}
            {n.toLocaleString("en")} {kind}
          </span>
        ) : null;
      })}
      {sumOf(plans.flatMap((p) => p.totals)).map((t) => (
        <span key={t.currency} className="tag number">
          <Icon name="coins" size={12} /> {money(t.difference, t.currency)}/month
          {unknown > 0 && `, ${count(unknown, "object")} not known`}
        </span>
      ))}
      <span className="small nowrap">
        plan <code data-ref>{short(document.digest)}</code>
        <Copy text={document.digest} what="the digest of the plan" />
      </span>
    </div>
  );
}

function Filters({
  plans,
  filter,
  onOpen,
  onClose,
}: {
  plans: StackPlan[];
  filter: Filter;
  onOpen: () => void;
  onClose: () => void;
}) {
  const kindCounts = countKinds(plans);
  const found = plans.reduce((n, p) => n + p.findings.size, 0);
  const types = [...new Set(plans.flatMap((p) => p.changes.map((c) => c.type)))].sort();
  const pick = (kind: Kind) => setQuery({ kind: filter.kind === kind ? undefined : kind });
  return (
    <div className="toolbar">
      <Search label="Search addresses" value={filter.search} onChange={(search) => setQuery({ search })} />
      <div className="filters" role="group" aria-label="Which changes are listed">
        {kinds
          .filter(([kind]) => kindCounts.get(kind))
          .map(([kind, sign]) => (
            <FilterButton key={kind} on={filter.kind === kind} onClick={() => pick(kind)}>
              {sign} {kind} <span className="number">{kindCounts.get(kind)!.toLocaleString("en")}</span>
            </FilterButton>
          ))}
        {found > 0 && (
          <FilterButton
            on={filter.withFindings}
            onClick={() => setQuery({ findings: filter.withFindings ? undefined : "yes" })}
          >
            <Icon name="warning" size={14} /> with findings <span className="number">{found}</span>
          </FilterButton>
        )}
      </div>
      {types.length > 1 && (
        <select
          className="select slim"
          aria-label="Type of resource"
          value={filter.type ?? ""}
          onChange={(e) => setQuery({ type: e.target.value })}
        >
          <option value="">all types</option>
          {types.map((t) => (
            <option key={t}>{t}</option>
          ))}
        </select>
      )}
      <span className="actions toolbar-end">
        <button className="button quiet slim" onClick={onOpen}>
          Open all
        </button>
        <button className="button quiet slim" onClick={onClose}>
          Close all
        </button>
      </span>
    </div>
  );
}

/** What the page's address says about which changes are listed. */
function filterOf(query: URLSearchParams): Filter {
  return {
    kind: (query.get("kind") as Kind | null) ?? undefined,
    type: query.get("type") ?? undefined,
    search: query.get("search") ?? "",
    withFindings: query.get("findings") === "yes",
  };
}

const isChange = (row: PlanRow) => row.is === "change";

const hasFindings = (row: PlanRow) => row.is === "change" && row.plan.findings.has(row.change.address);

function RowView({
  row,
  open,
  onToggle,
  onGo,
  onModule,
}: {
  row: PlanRow;
  open: boolean;
  onToggle: (id: string) => void;
  onGo: (address: string) => void;
  onModule: (id: string) => void;
}) {
  switch (row.is) {
    case "stack":
      return <StackHead plan={row.plan} />;
    case "heading":
      return <h3 className="plan-heading">{row.text}</h3>;
    case "module":
      return (
        <button className="module-head" aria-expanded={!row.closed} onClick={() => onModule(row.id)}>
          <Icon name={row.closed ? "right" : "down"} size={14} />
          <Icon name="module" />
          <code>{row.module || "root module"}</code>
          <span className="muted small">{count(row.count, "change")}</span>
        </button>
      );
    case "change":
      return (
        <ChangeView
          id={row.id}
          change={row.change}
          findings={row.plan.findings.get(row.change.address)}
          cost={row.plan.costs.get(row.change.address)}
          causes={row.plan.causes}
          open={open}
          onToggle={onToggle}
          onGo={onGo}
        />
      );
  }
}

function StackHead({ plan }: { plan: StackPlan }) {
  return (
    <section className="stack-head">
      <div className="row">
        <Icon name="stacks" size={18} />
        <h2>{plan.stack.stack || "This directory"}</h2>
        {plan.policies.map((p) => (
          <Status key={p.policy} status={p.status} word={`${p.policy}: ${p.passed} of ${p.rules} rules pass`} />
        ))}
        {sumOf(plan.totals).map((t) => (
          <span key={t.currency} className="muted small number">
            {t.after.toFixed(2)} {t.currency} a month afterwards
          </span>
        ))}
      </div>
      <NotJudged plan={plan} />
      {plan.general.length > 0 && <Findings named list={plan.general} />}
      <Overrides list={plan.overrides} />
    </section>
  );
}

/** The rows of a long page, of which only those in sight are drawn. */
function useRows(rows: PlanRow[]) {
  const box = useRef<HTMLDivElement>(null);
  const onTheWay = useRef<number>(undefined); // the change that is to have the focus, until it has
  const [margin, setMargin] = useState(0);
  useLayoutEffect(() => setMargin(box.current?.offsetTop ?? 0), []);
  const virtual = useWindowVirtualizer({
    count: rows.length,
    estimateSize: (i) => (rows[i]!.is === "change" ? 52 : 44),
    getItemKey: (i) => rows[i]!.id,
    overscan: 8,
    scrollMargin: margin,
    scrollPaddingStart: 170, // the head stays in sight
  });
  return {
    box,
    margin,
    items: virtual.getVirtualItems(),
    height: virtual.getTotalSize(),
    measure: virtual.measureElement,
    reveal: (index: number) => {
      virtual.scrollToIndex(index, { align: "start" });
      focusHead(rows[index]!.id);
    },
    step: (by: number, wanted: (row: PlanRow) => boolean = isChange) => {
      const focused = document.activeElement?.closest<HTMLElement>("[role=listitem]")?.dataset.index;
      const current = onTheWay.current ?? focused;
      let i = current === undefined ? (by > 0 ? -1 : rows.length) : Number(current);
      do i += by;
      while (rows[i] && !wanted(rows[i]!));
      if (!rows[i]) return;
      onTheWay.current = i;
      virtual.scrollToIndex(i, { align: "auto" });
      focusHead(rows[i]!.id, () => {
        if (onTheWay.current === i) onTheWay.current = undefined;
      });
    },
  };
}

/** Puts the focus on a change once it is drawn, which takes a frame or two. */
function focusHead(id: string, done: () => void = () => undefined, tries = 10) {
  const head = document.getElementById(`change-${id}`)?.querySelector<HTMLElement>(".change-head");
  if (head) head.focus({ preventScroll: true });
  else if (tries > 0) return void requestAnimationFrame(() => focusHead(id, done, tries - 1));
  done();
}

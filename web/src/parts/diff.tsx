import { useMemo } from "react";
import { count } from "../lib/format";
import { diffOf, type Change, type DiffLine, type Side } from "../lib/plandiff";
import { hunks, middleOf, textDiff } from "../lib/textdiff";
import { Icon } from "./icons";

/** What a change does to each attribute. */
export function Diff({ change }: { change: Change }) {
  const diff = useMemo(() => diffOf(change), [change]);
  return (
    <>
      <div className="diff" role="table" aria-label="Attributes">
        {diff.lines.map((line) => (
          <Line key={line.path} line={line} />
        ))}
      </div>
      {diff.unchanged > 0 && <p className="diff-rest">{count(diff.unchanged, "attribute")} unchanged</p>}
    </>
  );
}

const signs = { add: "+", remove: "−", change: "~", same: "" };

function Line({ line }: { line: DiffLine }) {
  return (
    <div className={`diff-line diff-${line.kind}`} role="row">
      <span className="diff-sign" aria-hidden="true">
        {signs[line.kind]}
      </span>
      <span className="diff-path" role="rowheader">
        {line.path}
        {line.replaces && <span className="tag bad">forces replacement</span>}
      </span>
      <span className="diff-value" role="cell">
        <Values before={line.kind === "same" ? undefined : line.before} after={line.after} />
      </span>
    </div>
  );
}

const isText = (side?: Side) => side?.kind === "value" && side.text.includes("\n");

function Values({ before, after }: { before?: Side; after?: Side }) {
  if (isText(before) || isText(after)) return <Texts before={before} after={after} />;
  if (before?.kind === "value" && after?.kind === "value") {
    const m = middleOf(before.text, after.text);
    return (
      <>
        <del>
          {m.head}
          <mark>{m.from}</mark>
          {m.tail}
        </del>
        <Arrow />
        <ins>
          {m.head}
          <mark>{m.to}</mark>
          {m.tail}
        </ins>
      </>
    );
  }
  return (
    <>
      {before && (
        <del>
          <Value side={before} />
        </del>
      )}
      {before && after && <Arrow />}
      {after && (
        <ins>
          <Value side={after} />
        </ins>
      )}
    </>
  );
}

const Arrow = () => (
  <span className="diff-arrow">
    {" "}
    <span className="hidden-text">becomes</span>→{" "}
  </span>
);

function Value({ side }: { side: Side }) {
  if (side.kind === "value") return side.text;
  return (
    <span className="diff-said">
      {side.kind === "sensitive" && <Icon name="lock" size={12} />}({side.text})
    </span>
  );
}

/** Texts of several lines: line by line where both are known, or else one after the other. */
function Texts({ before, after }: { before?: Side; after?: Side }) {
  const lines = useMemo(() => {
    if (before?.kind === "value" && after?.kind === "value") return hunks(textDiff(before.text, after.text));
    const all = (side: Side | undefined, kind: "add" | "remove") =>
      side
        ? (side.kind === "value" ? side.text.replace(/\n$/, "") : `(${side.text})`)
            .split("\n")
            .map((text) => ({ kind, text }))
        : [];
    return [...all(before, "remove"), ...all(after, "add")];
  }, [before, after]);
  return (
    <span className="text-diff">
      {lines.map((l, i) => (
        <span key={i} className={`text-line text-${l.kind}`}>
          <span aria-hidden="true">{{ add: "+", remove: "−", same: " ", "left-out": "⋯" }[l.kind]}</span> {l.text}
        </span>
      ))}
    </span>
  );
}

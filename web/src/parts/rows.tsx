import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useRef, type CSSProperties, type ReactNode } from "react";

/** So many rows are drawn as they are; of more, only those in sight. */
const few = 60;

/**
 * A table whose rows are drawn only while they are in sight, so that it may be as
 * long as it likes. Columns are those of a CSS grid; on a phone, those of narrow,
 * without the cells that are called wide.
 */
export function Rows<T>({
  label,
  columns,
  narrow = columns,
  heads,
  wide = [],
  dense = false,
  items,
  keyOf,
  children,
  height = "min(68vh, 720px)",
  onSeen,
}: {
  label: string;
  columns: string;
  narrow?: string;
  heads: ReactNode[];
  /** The heads of cells that are called wide. */
  wide?: ReactNode[];
  /** Whether rows are as low as their text allows. */
  dense?: boolean;
  items: T[];
  keyOf: (item: T, index: number) => string;
  children: (item: T) => ReactNode;
  height?: string;
  /** Told which rows are drawn, so that they can be read then. */
  onSeen?: (first: number, last: number) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => (dense ? 29 : 39),
    getItemKey: (i) => keyOf(items[i]!, i),
    overscan: 12,
  });
  const style = { "--columns": columns, "--narrow": narrow } as CSSProperties;
  const isLong = items.length > few;
  const drawn = rows.getVirtualItems();
  const first = isLong ? (drawn[0]?.index ?? 0) : 0;
  const last = isLong ? (drawn.at(-1)?.index ?? 0) : items.length - 1;
  useEffect(() => onSeen?.(first, last), [onSeen, first, last]);
  return (
    <div className={dense ? "panel dense" : "panel"} role="table" aria-label={label} aria-rowcount={items.length + 1}>
      <div className="grid-row grid-head" role="row" style={style}>
        {heads.map((h, i) => (
          <span key={i} role="columnheader" className={wide.includes(h) ? "clip wide" : "clip"}>
            {h}
          </span>
        ))}
      </div>
      <div
        className="rows-box"
        role="rowgroup"
        ref={box}
        tabIndex={isLong ? 0 : undefined}
        style={isLong ? { height } : undefined}
      >
        {isLong ? (
          <div className="rows" role="presentation" style={{ height: rows.getTotalSize() }}>
            {drawn.map((v) => (
              <div
                key={v.key}
                className="grid-row"
                role="row"
                aria-rowindex={v.index + 2}
                data-index={v.index}
                ref={rows.measureElement}
                style={{ ...style, transform: `translateY(${v.start}px)` }}
              >
                {children(items[v.index]!)}
              </div>
            ))}
          </div>
        ) : (
          items.map((item, i) => (
            <div key={keyOf(item, i)} className="grid-row" role="row" style={style}>
              {children(item)}
            </div>
          ))
        )}
      </div>
    </div>
  );
}

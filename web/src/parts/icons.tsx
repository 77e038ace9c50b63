// Drawn for Tutti on a grid of 24, in lines of 1.75.
const paths = {
  overview: "M4 13h6V4H4zM14 20h6V11h-6zM4 20h6v-3H4zM14 7h6V4h-6z",
  runs: "M5 12a7 7 0 1 0 7-7M10 9.500v5l4.500-2.500zM5 5v4h4",
  approvals: "M12 3 5 6v5c0 4.500 3 8 7 10 4-2 7-5.500 7-10V6zM9 12l2.200 2.200L15.500 10",
  stacks: "M12 3 3.500 7.500 12 12l8.500-4.500zM4 12l8 4.300L20 12M4 16.500l8 4.300 8-4.300",
  workflows: "M4 4h6v5H4zM14 15h6v5h-6zM7 9v4a4 4 0 0 0 4 4h3",
  triggers: "M13 3 5 13.500h6L10 21l9-11h-6.500z",
  events: "M4 6h3M4 12h3M4 18h3M11 6h9M11 12h9M11 18h9",
  scalers: "M4 20V14M9.500 20V9M15 20v-7M20 20V4",
  deliveries: "M21 3 3 10.500l7 3.500 3.500 7zM21 3 10 14",
  audit: "M7 3h8l4 4v14H7zM14 3v5h5M10 13h6M10 17h4",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM16.200 16.200 20.500 20.500",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6 6 18",
  check: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8 12.200l2.700 2.700L16 9.500",
  cross: "M8.300 3h7.400L21 8.300v7.400L15.700 21H8.300L3 15.700V8.300zM9 9l6 6M15 9l-6 6",
  turning: "M12 3a9 9 0 1 1-8.500 6",
  waiting: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 7.500V12l3 2",
  warning: "M12 4 2.500 20h19zM12 10v4.500M12 17.300v.2",
  question:
    "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM9.500 9.700a2.600 2.600 0 1 1 3.700 2.300c-.8.400-1.200.9-1.200 1.800M12 16.800v.2",
  stopped: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM5.800 5.800l12.400 12.400",
  paused: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM10 9v6M14 9v6",
  skipped: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM8.500 9l3 3-3 3M13 9l3 3-3 3",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  right: "M9 5l7 7-7 7",
  down: "M5 9l7 7 7-7",
  arrow: "M4 12h16M14 6l6 6-6 6",
  box: "M12 3 4 7.500v9L12 21l8-4.500v-9zM4 7.500l8 4.500 8-4.500M12 12v9",
  module: "M4 6h6l2 2.500h8V19H4z",
  lock: "M6 11h12v9H6zM8.500 11V8a3.500 3.500 0 0 1 7 0v3",
  download: "M12 4v11M7.500 11l4.500 4.500 4.500-4.500M4 20h16",
  replay: "M5 12a7 7 0 1 1 2.200 5.100M5 19v-4.500h4.500",
  rollback: "M4 9h10a5.500 5.500 0 0 1 0 11H8M8 4.500 3.500 9 8 13.500",
  coins:
    "M4 7c0-1.700 2.700-3 6-3s6 1.300 6 3-2.700 3-6 3-6-1.300-6-3zM4 7v5c0 1.700 2.700 3 6 3M16 7v2.500M8 17c0-1.700 2.700-3 6-3s6 1.300 6 3-2.700 3-6 3-6-1.300-6-3z",
  cause: "M6 4v9a4 4 0 0 0 4 4h9M15 13l4 4-4 4",
  keyboard: "M3 6h18v12H3zM7 10h.2M11 10h.2M15 10h.2M17.500 14H6.500",
  theme: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M12 7.500h6.500M12 12h9M12 16.500h6.500",
  person: "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM4.500 20.500a7.500 7.500 0 0 1 15 0",
  play: "M7 4.500v15l12-7.500z",
  more: "M5 12h.2M12 12h.2M19 12h.2",
  drift: "M3 9c3-4 6-4 9 0s6 4 9 0M3 16c3-4 6-4 9 0s6 4 9 0",
} as const;

export type IconName = keyof typeof paths;

/** A picture beside a word; it says nothing by itself. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      className="icon"
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth="1.75"
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
    >
      <path d={paths[name]} />
    </svg>
  );
}

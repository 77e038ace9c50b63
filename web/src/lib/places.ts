import type { IconName } from "../parts/icons";

/** A page that one can go to from anywhere: "g" and its key, or its name in the palette. */
export interface Place {
  key: string;
  href: string;
  title: string;
  icon: IconName;
}

/** The pages, in the groups in which they are shown. */
export const groups: [title: string, places: Place[]][] = [
  [
    "",
    [
      { key: "o", href: "/", title: "Overview", icon: "overview" },
      { key: "r", href: "/runs", title: "Runs", icon: "runs" },
      { key: "a", href: "/approvals", title: "Approvals", icon: "approvals" },
    ],
  ],
  [
    "Project",
    [
      { key: "s", href: "/stacks", title: "Stacks", icon: "stacks" },
      { key: "w", href: "/workflows", title: "Workflows", icon: "workflows" },
      { key: "t", href: "/triggers", title: "Triggers", icon: "triggers" },
      { key: "c", href: "/scalers", title: "Scalers", icon: "scalers" },
    ],
  ],
  [
    "Record",
    [
      { key: "e", href: "/events", title: "Events", icon: "events" },
      { key: "d", href: "/deliveries", title: "Deliveries", icon: "deliveries" },
      { key: "u", href: "/audit", title: "Audit", icon: "audit" },
    ],
  ],
];

export const places = groups.flatMap(([, list]) => list);

/** Whether a page is the one at a path, or above it. */
export const isHere = (place: Place, path: string) =>
  place.href === "/" ? path === "/" : path === place.href || path.startsWith(place.href + "/");

import { useEffect, useState, type AnchorHTMLAttributes, type MouseEvent } from "react";

/** Goes to another page of the UI. */
export function go(to: string, replace = false) {
  const before = window.location.pathname;
  window.history[replace ? "replaceState" : "pushState"](null, "", to);
  window.dispatchEvent(new Event("tutti:go"));
  if (window.location.pathname !== before) window.scrollTo(0, 0);
}

/**
 * Changes parameters of the page's address; those without a value are left out. With
 * step, the way back leads to what they were.
 */
export function setQuery(values: Record<string, string | undefined>, step = false) {
  const query = new URLSearchParams(window.location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  go(window.location.pathname + (text ? "?" + text : ""), !step);
}

/** A text that is kept in the page's address, such as what is searched for. */
export function useQueryText(parameter: string): [text: string, set: (text: string) => void] {
  const { query } = useLocation();
  return [query.get(parameter) ?? "", (text) => setQuery({ [parameter]: text })];
}

const part = encodeURIComponent;

/** The addresses of the pages about single things. */
export const runHref = (id: string) => `/runs/${part(id)}`;
export const workflowHref = (name: string) => `/workflows/${part(name)}`;
export const stackHref = (s: { environment: string; name: string }) =>
  `/stacks/${part(s.environment)}/${part(s.name || "-")}`;
export const planHref = (digest: string, ask?: { run: string; step: string }) =>
  `/plans/${digest}` + (ask ? `?run=${part(ask.run)}&step=${part(ask.step)}` : "");

/** Where the page is: path and query. */
export function useLocation(): { path: string; query: URLSearchParams } {
  const [, set] = useState(0);
  useEffect(() => {
    const moved = () => set((n) => n + 1);
    window.addEventListener("popstate", moved);
    window.addEventListener("tutti:go", moved);
    return () => {
      window.removeEventListener("popstate", moved);
      window.removeEventListener("tutti:go", moved);
    };
  }, []);
  return { path: window.location.pathname, query: new URLSearchParams(window.location.search) };
}

/** Matches a path with a pattern such as /runs/:run; undefined where it does not. */
export function match(pattern: string, path: string): Record<string, string> | undefined {
  const want = pattern.split("/");
  const have = path.replace(/\/$/, "").split("/");
  if (want.length !== have.length) return undefined;
  const out: Record<string, string> = {};
  for (let i = 0; i < want.length; i++) {
    const w = want[i]!;
    const h = have[i]!;
    if (w.startsWith(":")) out[w.slice(1)] = decodeURIComponent(h);
    else if (w !== h) return undefined;
  }
  return out;
}

/** A link to a page of the UI. */
export function Link({ href, onClick, ...rest }: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const follow = (event: MouseEvent<HTMLAnchorElement>) => {
    onClick?.(event);
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    go(href);
  };
  return <a href={href} onClick={follow} {...rest} />;
}

import { describe, expect, it } from "vitest";
import { piecesOf } from "./ansi";
import { adviceOn } from "./advice";
import { Causes, reasonOf, resourceOf } from "./causes";
import { find, score } from "./fuzzy";
import { layered } from "./layers";
import { joined, linesOf, ofStep } from "./lines";
import { diffOf, type ResourceChange } from "./plandiff";
import { kindOf, moduleOf, rowsOf } from "./plangroup";
import { stackPlans } from "./plandocument";
import { planRows } from "./planrows";
import { firstOpen, groupObjects, visible, type GraphObject } from "./resources";
import { hunks, middleOf, textDiff } from "./textdiff";

const change = (address: string, actions: string[], more: object = {}): ResourceChange => ({
  address,
  type: "t",
  change: { actions, ...more },
});

describe("colours of terminals", () => {
  it("become classes, and all else is left out", () => {
    expect(piecesOf("a\x1b[1;31mb\x1b[0mc\x1b]0;title\x07d\x1b[2Je")).toEqual([
      { text: "a", className: "" },
      { text: "b", className: "ansi-red ansi-bold" },
      { text: "c", className: "" },
      { text: "d", className: "" },
      { text: "e", className: "" },
    ]);
  });
  it("of larger palettes are passed over whole, but for the sixteen", () => {
    expect(piecesOf("\x1b[38;5;9mx\x1b[38;5;200mz\x1b[38;2;1;2;31;32my")).toEqual([
      { text: "x", className: "ansi-red" },
      { text: "z", className: "" },
      { text: "y", className: "ansi-green" },
    ]);
  });
});

describe("groups of changes", () => {
  it("know modules with keys that hold dots", () => {
    expect(moduleOf('module.a["x.y"].module.b[0].t.n["z"]')).toBe('module.a["x.y"].module.b[0]');
    expect(moduleOf("t.n")).toBe("");
    expect(resourceOf('module.a["x]"].t.n[3]')).toBe("module.a.t.n");
  });
  it("have a head for each module, and only what the filter lets through", () => {
    const list = [change("t.a", ["create"]), change("module.m.t.b", ["delete", "create"]), change("t.c", ["delete"])];
    const all = { search: "", withFindings: false };
    expect(
      rowsOf(list, all, new Set()).map((r) => ("change" in r ? r.change.address : `${r.module} ${r.count}`)),
    ).toEqual([" 2", "t.a", "t.c", "module.m 1", "module.m.t.b"]);
    expect(rowsOf(list, { ...all, kind: "replace" }, new Set())).toHaveLength(2);
    expect(rowsOf(list, { ...all, withFindings: true }, new Set(["t.c"]))).toEqual([{ change: list[2] }]);
    expect(kindOf(list[2]!)).toBe("destroy");
  });
  it("are lines of a plan that all have a name of their own", () => {
    const plan = { resource_changes: [change("t.a", ["create"]), change("module.m.t.b", ["create"])] };
    const stacks = ["", "shop"].map((stack) => ({ stack, add: 0, change: 0, destroy: 0, plan, needs: {} }));
    const plans = stackPlans({ digest: "", environment: "", kind: "apply", stacks });
    const rows = planRows(plans, { search: "", withFindings: false }, new Set());
    const one = ["stack", "module", "change", "module", "change"];
    expect(rows.map((r) => r.is)).toEqual([...one, ...one]);
    expect(new Set(rows.map((r) => r.id)).size).toBe(rows.length);
  });
});

describe("causes", () => {
  it("are told in words, with what forces a replacement", () => {
    const c = change("t.a", ["delete", "create"], { replace_paths: [["zone", 0]] });
    expect(reasonOf({ ...c, action_reason: "replace_because_cannot_update" })).toBe(
      "an attribute cannot be changed in place: zone[0]",
    );
    expect(reasonOf(change("t.b", ["update"]))).toBeUndefined();
  });
  const chain = new Causes(
    [
      change("t.a[0]", ["delete", "create"]),
      change("t.a[1]", ["delete", "create"]),
      change("module.m.t.b", ["update"]),
      change("t.c", ["update"]),
    ],
    { "module.m.t.b": ["t.a", "t.same"], "t.c": ["module.m.t.b"] },
    [{ resource: "t.a[0]", attribute: ["list", 0] }],
  );
  it("are followed to where they begin, and only through what changes", () => {
    expect(chain.of("t.c")).toEqual([
      {
        address: "module.m.t.b",
        kind: "update",
        count: 1,
        reads: [],
        causes: [{ address: "t.a", kind: "replace", count: 2, reads: ["list[0]"], causes: [] }],
      },
    ]);
    expect(chain.of("t.a[0]")).toEqual([]);
  });
  it("know what follows from a change", () => {
    expect(chain.follows("t.a[1]")).toBe(2);
    expect(chain.follows("t.c")).toBe(0);
  });
  it("that go in a circle come to an end", () => {
    const circle = new Causes(
      [change("t.a", ["update"]), change("t.b", ["update"])],
      { "t.a": ["t.b"], "t.b": ["t.a"] },
      [],
    );
    expect(circle.of("t.a")[0]!.causes[0]!.causes).toEqual([]);
    expect(circle.follows("t.a")).toBe(2);
  });
});

describe("differences", () => {
  it("hide what is sensitive, say what is unknown and count the rest", () => {
    const diff = diffOf({
      actions: ["update"],
      before: { a: 1, password: null, same: 1, tags: ["x"] },
      after: { a: 2, password: null, same: 1, tags: ["x", "y"] },
      after_unknown: { id: true },
      before_sensitive: {},
      after_sensitive: { password: true },
      replace_paths: [["a"]],
    });
    expect(diff.lines.map((l) => [l.path, l.before?.text, l.after?.text, l.replaces])).toEqual([
      ["a", "1", "2", true],
      ["id", undefined, "known after apply", false],
      ["password", "sensitive", "sensitive", false],
      ["tags[1]", undefined, '"y"', false],
    ]);
    expect(diff.unchanged).toBe(2);
  });
  it("have one side where an object is made or destroyed", () => {
    const sides = { before: { a: "x" }, after: { a: "x" }, after_sensitive: { a: true } };
    expect(diffOf({ ...sides, actions: ["create"] }).lines[0]).toMatchObject({ kind: "add", before: undefined });
    expect(diffOf({ ...sides, actions: ["delete"] }).lines[0]).toMatchObject({ kind: "remove", after: undefined });
  });
  it("lay out documents in texts", () => {
    const diff = diffOf({ actions: ["update"], before: { p: '{"a":1}' }, after: { p: '{"a":2}' } });
    expect(diff.lines[0]!.before!.text).toBe('{\n  "a": 1\n}');
  });
  it("in one line are told from their middle", () => {
    expect(middleOf('"10.0.1.0/24"', '"10.0.22.0/24"')).toEqual({
      head: '"10.0.',
      from: "1",
      to: "22",
      tail: '.0/24"',
    });
    expect(middleOf("aa", "aaa")).toEqual({ head: "aa", from: "", to: "a", tail: "" });
  });
  it("leave out what is far from any change", () => {
    const before = Array.from({ length: 20 }, (_, i) => String(i)).join("\n");
    const shown = hunks(textDiff(before, before.replace("10", "x")));
    expect(shown.map((l) => l.text)).toEqual(["7 lines", "7", "8", "9", "10", "x", "11", "12", "13", "6 lines"]);
  });
  it("of texts are told line by line", () => {
    expect(textDiff("a\nb\nc", "a\nx\nc")).toEqual([
      { kind: "same", text: "a" },
      { kind: "remove", text: "b" },
      { kind: "add", text: "x" },
      { kind: "same", text: "c" },
    ]);
  });
});

describe("searching", () => {
  it("wants every letter, and likes them together", () => {
    expect(score("zz", "stack")).toBeUndefined();
    expect(find("shop", ["ship our product", "shop in dev", "other"], (t) => t, 5)).toEqual([
      "shop in dev",
      "ship our product",
    ]);
    expect(find(" ", ["a", "b", "c"], (t) => t, 2)).toEqual(["a", "b"]);
  });
});

describe("pieces of logs", () => {
  const log = (id: number, step: string, text: string) => ({ id, step, stream: "stdout" as const, time: "", text });
  it("become lines, each of its step", () => {
    const lines = linesOf([log(1, "a", "one\ntw"), log(2, "b", "other\n"), log(3, "a", "o\n\n")]);
    expect(lines.map((l) => `${l.step} ${l.text}`)).toEqual(["a one", "a two", "b other", "a "]);
  });
  it("are put together with earlier ones, each once", () => {
    const whole = joined([log(1, "a", "one\n"), log(2, "a", "two\n")], [log(2, "a", "two\n"), log(3, "a", "three\n")]);
    expect(whole.map((l) => l.id)).toEqual([1, 2, 3]);
  });
  it("of items are those of their step", () => {
    expect(ofStep({ step: 'a["x"]' }, "a")).toBe(true);
    expect(ofStep({ step: "ab" }, "a")).toBe(false);
  });
});

describe("layers of a graph", () => {
  it("put nodes behind what they need", () => {
    const places = layered(
      {
        nodes: ["c", "a", "b"],
        edges: [
          { from: "a", to: "b" },
          { from: "b", to: "c" },
          { from: "a", to: "c" },
        ],
      },
      100,
      10,
    );
    expect(["a", "b", "c"].map((n) => places.get(n)!.x)).toEqual([0, 100, 200]);
  });
  it("place every node, also of a circle", () => {
    const edges = [
      { from: "a", to: "b" },
      { from: "b", to: "a" },
      { from: "b", to: "c" },
    ];
    expect(layered({ nodes: ["a", "b", "c"], edges }, 1, 1).size).toBe(3);
  });
});

describe("objects in groups", () => {
  const object = (address: string, ...depends_on: string[]): GraphObject => ({ address, depends_on });
  it("are all shown where they are few", () => {
    const objects = [object("t.a"), object("t.b", "t.a"), object("module.m.t.c", "t.b")];
    const root = groupObjects(objects);
    const shown = visible(root, objects, firstOpen(root));
    expect(shown.nodes.map((n) => n.id)).toEqual(["t.a", "t.b", "module.m.t.c"]);
    expect(shown.edges.map((e) => `${e.from} ${e.to}`)).toEqual(["t.a t.b", "t.b module.m.t.c"]);
  });
  it("refer to what is in their own module", () => {
    const objects = [0, 1].flatMap((i) => [object(`module.m[${i}].t.a`), object(`module.m[${i}].t.b`, "module.m.t.a")]);
    const root = groupObjects(objects);
    const shown = visible(root, objects, firstOpen(root));
    expect(shown.edges.map((e) => `${e.from} ${e.to}`)).toEqual([
      "module.m[0].t.a module.m[0].t.b",
      "module.m[1].t.a module.m[1].t.b",
    ]);
  });
  it("stay few to look at, however many there are", () => {
    const objects = Array.from({ length: 5000 }, (_, i) =>
      object(`module.part["p${i % 10}"].t${i % 3}.n[${i}]`, `module.part.t${(i + 1) % 3}.n`),
    );
    const root = groupObjects(objects);
    const open = firstOpen(root);
    const shown = visible(root, objects, open);
    expect(root.size).toBe(5000);
    expect(shown.nodes.length).toBeLessThanOrEqual(40);
    expect(shown.nodes.reduce((n, g) => n + g.size, 0)).toBe(5000);
    // Whatever is opened shows at most a hundred more.
    const deep = new Set(open);
    for (let next = shown.nodes[0]!; next.children.length > 0; next = next.children[0]!) {
      expect(next.children.length).toBeLessThanOrEqual(100);
      deep.add(next.id);
    }
    expect(visible(root, objects, deep).nodes.some((n) => n.kind === "object")).toBe(true);
  });
});

describe("advice", () => {
  const run = { kind: "workflow", status: "failed", problem: "step build failed" } as Parameters<typeof adviceOn>[0];
  it("names what failed, and is silent where nothing did", () => {
    const steps = [{ name: "build", status: "failed", error: { name: "Exit", cause: "3" } }] as Parameters<
      typeof adviceOn
    >[1];
    expect(adviceOn(run, steps)).toMatchObject({ title: "step build failed", failed: steps });
    expect(adviceOn({ ...run, status: "succeeded" }, [])).toBeUndefined();
    expect(adviceOn({ ...run, status: "interrupted" }, [])!.title).toBe("Nobody works on this run");
  });
});

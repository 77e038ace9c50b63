import { describe, expect, it } from "vitest";
import { parted } from "./lines";
import { grouped, titleOf, type Finding } from "./plandocument";
import { reduced } from "./reduce";
import { textDiff } from "./textdiff";
import { tickOf, tickText } from "./ticks";

describe("lines of a graph", () => {
  const edge = (text: string) => ({ from: text[0]!, to: text[1]! });
  it("that follow from others are left out", () => {
    expect(reduced(["ab", "bc", "ac", "ad", "cd"].map(edge))).toEqual(["ab", "bc", "cd"].map(edge));
  });
  it("side by side stay", () => {
    const diamond = ["ab", "ac", "bd", "cd"].map(edge);
    expect(reduced(diamond)).toEqual(diamond);
  });
});

describe("marks of a line of time", () => {
  it("are a few, in units that people count in", () => {
    expect([950, 5200, 90_000, 7_200_000].map((ms) => tickText(tickOf(ms, 6)))).toEqual([
      "200 ms",
      "1 s",
      "15 s",
      "30 min",
    ]);
    expect(tickText(tickOf(5200, 2))).toBe("5 s");
  });
});

describe("what is searched for in a text", () => {
  it("is every second part", () => {
    expect(parted("An error is an Error", "error")).toEqual(["An ", "error", " is an ", "Error", ""]);
    expect(parted("nothing", "error")).toEqual(["nothing"]);
  });
});

describe("texts that end with a line", () => {
  it("have no empty line behind it", () => {
    expect(textDiff("a\nb\n", "a\nc\n").map((l) => l.kind + " " + l.text)).toEqual(["same a", "remove b", "add c"]);
  });
  it("say where only one of them does", () => {
    expect(textDiff("a", "a\n").map((l) => l.kind + " " + l.text)).toEqual(["same a", "add "]);
  });
});

describe("a plan", () => {
  it("says the same about several resources once", () => {
    const finding = (resource: string, message: string): Finding => ({
      policy: "house",
      rule: "zones",
      enforcement: "advisory",
      status: "warn",
      message,
      resource,
    });
    const groups = grouped([finding("a.x", "one zone"), finding("a.y", "one zone"), finding("a.x", "no name")]);
    expect(groups.map((g) => [g.finding.message, g.resources])).toEqual([
      ["one zone", ["a.x", "a.y"]],
      ["no name", ["a.x"]],
    ]);
  });
  it("is called by what it does, and where", () => {
    const stacks = (...names: string[]) =>
      names.map((stack) => ({ stack, add: 0, change: 0, destroy: 0, needs: {}, plan: {} }));
    const title = (...names: string[]) =>
      titleOf({ digest: "", environment: "dev", kind: "apply", stacks: stacks(...names) });
    expect(title("shop")).toBe("apply shop in dev");
    expect(title("a", "b", "c", "d")).toBe("apply 4 stacks in dev");
    expect(title("")).toBe("apply in dev");
  });
});

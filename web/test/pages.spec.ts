import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { applied, asked, expect, settled, test, type Served } from "./server";

/** The paths of all pages with something to show, and a text that is on each once it is there. */
async function fill(served: Served): Promise<[name: string, path: string, text: string][]> {
  const network = await applied(served, "network");
  await applied(served, "shop");
  const broken = await served.api<{ id: string }>("POST", "/runs", { workflow: "broken", environment: "dev" });
  await settled(served, broken.id, ["failed"]);
  const inputs = { version: "1.2.3" };
  const release = await served.api<{ id: string }>("POST", "/runs", {
    workflow: "release",
    environment: "dev",
    inputs,
  });
  await asked(served, release.id);
  const main = "shop/main.tf";
  served.write(main, served.read(main).replace('default = "1"', 'default = "2"'));
  const changed = { kind: "apply", approve: true };
  const change = await served.api<{ id: string }>("POST", "/environments/dev/stacks/shop/changes", changed);
  const { plan } = await asked(served, change.id);
  return [
    ["overview", "/", "Latest runs"],
    ["runs", "/runs", "workflow release"],
    ["run", `/runs/${release.id}`, "all is well"],
    ["run-failed", `/runs/${broken.id}?tab=steps&step=fails`, "Look at what the steps"],
    ["run-timeline", `/runs/${network}?tab=timeline`, "Took"],
    ["plan", `/plans/${plan}?run=${change.id}`, "Approve"],
    ["approvals", "/approvals", "Is this version fit to ship?"],
    ["stacks", "/stacks", "needs network"],
    ["stack", "/stacks/dev/shop", "6 nodes"],
    ["stack-history", "/stacks/dev/shop?tab=history", "Roll back"],
    ["workflows", "/workflows", "Builds a version"],
    ["workflow", "/workflows/release", "Latest runs"],
    ["triggers", "/triggers", "com.example.push"],
    ["events", "/events?event=1", "No trigger is for it"],
    ["stack-drift", "/stacks/dev/shop?tab=drift", "Not looked at yet"],
    ["audit", "/audit", "Not verified yet"],
    ["scalers", "/scalers", "No scalers yet"],
  ];
}

/** Puts the same in place of what is another each time: times, names of runs, digests. Also when the page says it anew. */
async function steady(page: Page) {
  await page.evaluate(() => {
    const put = () => {
      for (const [selector, text] of [
        ["[data-time]", "12 s"],
        ["[data-ref]", "0123abcd4567"],
        ["[data-version]", "1.0.0"],
      ] as const) {
        for (const element of document.querySelectorAll(selector)) {
          if (element.textContent !== text) element.textContent = text;
        }
      }
      for (const bar of document.querySelectorAll<HTMLElement>(".gantt-bar")) bar.style.cssText = "left:20%;width:40%";
    };
    put();
    new MutationObserver(put).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
}

async function show(page: Page, served: Served, path: string, text: string) {
  await page.goto(served.url + path);
  await expect(page.getByText(text).first()).toBeVisible();
  await expect(page.locator("[aria-busy=true], .skeleton")).toHaveCount(0);
  await expect(page.locator(".live:not(.on)")).toHaveCount(0);
}

test("every page is accessible, fits the screen and looks as it was reviewed", async ({ page, served }) => {
  test.setTimeout(300_000);
  const pages = await fill(served);
  for (const [look, width, colorScheme] of [
    ["light", 1280, "light"],
    ["dark", 1280, "dark"],
    ["phone", 390, "light"],
  ] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height: 844 });
    for (const [name, path, text] of pages) {
      await show(page, served, path, text);
      const found = await new AxeBuilder({ page }).exclude(".react-flow__attribution").analyze();
      expect
        .soft(found.violations.map((v) => `${name} ${look} ${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`))
        .toEqual([]);
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect.soft(beyond, `${name} is wider than ${width}`).toBeLessThanOrEqual(0);
      await steady(page);
      await expect.soft(page).toHaveScreenshot(`${name}-${look}.png`);
    }
  }
});

import AxeBuilder from "@axe-core/playwright";
import type { Page } from "@playwright/test";
import { applied, asked, expect, settled, test, type Served } from "./server";

async function started(served: Served, workflow: string): Promise<string> {
  return (await served.api<{ id: string }>("POST", "/runs", { workflow, environment: "dev" })).id;
}

/** Waits until deliveries stand in these ways, each after an attempt. */
async function told(served: Served, statuses: string) {
  type Delivery = { status: string; attempts: number };
  await expect
    .poll(async () => {
      const { items } = await served.api<{ items: Delivery[] }>("GET", "/deliveries");
      return items
        .filter((d) => d.attempts > 0)
        .map((d) => d.status)
        .sort()
        .join(" ");
    })
    .toBe(statuses);
}

/** The paths of all pages with something to show, and a text that is on each once it is there. */
async function fill(served: Served): Promise<[name: string, path: string, text: string][]> {
  const network = await applied(served, "network");
  await applied(served, "shop");
  const broken = await started(served, "broken");
  await settled(served, broken, ["failed"]);
  await told(served, "dead delivered pending");
  const fanned = await started(served, "fan_out");
  await settled(served, fanned, ["succeeded"]);
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
    ["run-failed", `/runs/${broken}?tab=steps&step=fails`, "Look at what the steps"],
    [
      "run-items",
      `/runs/${fanned}?step=regions&tab=items&item=${encodeURIComponent('regions["sa"]')}`,
      "CommandFailed",
    ],
    ["run-timeline", `/runs/${network}?tab=timeline`, "Took"],
    ["plan", `/plans/${plan}?run=${change.id}`, "Approve"],
    ["approvals", "/approvals", "Is this version fit to ship?"],
    ["stacks", "/stacks", "Last run"],
    ["stack", "/stacks/dev/shop", "6 nodes"],
    ["stack-history", "/stacks/dev/shop?tab=history", "Roll back"],
    ["workflows", "/workflows", "Builds a version"],
    ["workflow", "/workflows/release", "Latest runs"],
    ["triggers", "/triggers", "com.example.push"],
    ["events", "/events?event=1", "No trigger is for it"],
    ["deliveries", "/deliveries?delivery=3", "Send again"],
    ["stack-objects", "/stacks/dev/shop?tab=objects", "terraform_data.image"],
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
      for (const tick of document.querySelectorAll<HTMLElement>(".gantt-tick")) tick.style.display = "none";
      for (const gantt of document.querySelectorAll<HTMLElement>(".gantt")) gantt.style.setProperty("--tick", "25%");
      for (const bar of document.querySelectorAll<HTMLElement>(".gantt-bar")) bar.style.cssText = "left:20%;width:40%";
      const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = texts.currentNode.textContent!;
        const same = text
          .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "00000000-0000-0000-0000-000000000000")
          .replace(/\b[0-9a-f]{64}\b/g, "0".repeat(64))
          .replace(/^0 to .*/, "0 to 12 s");
        if (same !== text) texts.currentNode.textContent = same;
      }
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

const looks = [
  ["light", 1280, "light"],
  ["dark", 1280, "dark"],
  ["phone", 390, "light"],
] as const;

/** Goes through the ways in which pages are looked at. */
async function inAllLooks(page: Page, look: (name: string) => Promise<void>) {
  for (const [name, width, colorScheme] of looks) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height: 844 });
    await look(name);
  }
}

/** The page that is shown is accessible, fits the screen, and looks as it was reviewed. */
async function review(page: Page, name: string) {
  // On a phone there are the same elements, in another order.
  if (!name.endsWith("-phone")) {
    const found = await new AxeBuilder({ page }).exclude(".react-flow__attribution").analyze();
    expect.soft(found.violations.map((v) => `${name} ${v.id}: ${v.nodes.map((n) => n.html).join(" | ")}`)).toEqual([]);
  }
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  expect.soft(beyond, `${name} is wider than the screen`).toBeLessThanOrEqual(0);
  await steady(page);
  await expect.soft(page).toHaveScreenshot(`${name}.png`);
}

test.describe("pages with something to show", () => {
  test.use({ options: { args: [], files: {}, notifies: true } });

  test("are accessible, fit the screen and look as they were reviewed", async ({ page, served }) => {
    test.setTimeout(900_000);
    const pages = await fill(served);
    await inAllLooks(page, async (look) => {
      for (const [name, path, text] of pages) {
        await show(page, served, path, text);
        await review(page, `${name}-${look}`);
      }
    });
  });

  test("dialogs and menus look as they were reviewed", async ({ page, served }) => {
    await inAllLooks(page, async (look) => {
      await show(page, served, "/workflows/release", "No runs yet");
      await page.getByRole("button", { name: "Run", exact: true }).click();
      await expect(page.getByLabel("Environment")).toBeVisible();
      await review(page, `start-${look}`);
      await page.keyboard.press("Escape");
      await page.keyboard.press("Control+k");
      await page.getByRole("combobox").fill("s");
      await expect(page.getByRole("option").first()).toBeVisible();
      await review(page, `palette-${look}`);
      await page.keyboard.press("Escape");
      await page.keyboard.press("?");
      await expect(page.getByRole("dialog", { name: "Keys" })).toBeVisible();
      await review(page, `keys-${look}`);
      await page.keyboard.press("Escape");
      if (look !== "phone") return;
      await page.getByRole("button", { name: "More" }).click();
      await expect(page.getByRole("dialog", { name: "Pages" })).toBeVisible();
      await review(page, `menu-${look}`);
    });
  });
});

test("pages with nothing to show say what to do", async ({ page, served }) => {
  await inAllLooks(page, async (look) => {
    await show(page, served, "/", "Nothing waits");
    await review(page, `overview-empty-${look}`);
  });
  for (const path of ["/runs", "/approvals", "/stacks/dev/shop", "/deliveries", "/runs/0000000000", "/nowhere"]) {
    await show(page, served, path, "o"); // whatever it says
    const found = await new AxeBuilder({ page }).analyze();
    expect.soft(found.violations.map((v) => `${path} ${v.id}`)).toEqual([]);
    await expect(page.locator(".empty")).toBeVisible();
  }
});

test("a run whose details were removed says what is still known", async ({ page, served }) => {
  const run = await started(served, "broken");
  await settled(served, run, ["failed"]);
  served.tutti("store", "prune", "-older-than=0s");
  await inAllLooks(page, async (look) => {
    await show(page, served, `/runs/${run}`, "run.failed");
    await expect(page.getByText("The details of this run were removed")).toBeVisible();
    await expect(page.getByRole("tab")).toHaveCount(0);
    await review(page, `run-pruned-${look}`);
  });
});

test.describe("logging in", () => {
  // Nobody answers there: the page asks the server only what the provider is called.
  const identity = `
identity "corp" {
  issuer         = "http://127.0.0.1:9"
  client_id      = "tutti"
  username_claim = "email"
}
`;
  const files = { "identity.tutti.hcl": identity };
  test.use({ options: { args: ["-require-token"], files, notifies: false } });

  test("looks as it was reviewed, and says what went wrong", async ({ page, served }) => {
    await inAllLooks(page, async (look) => {
      await page.goto(served.url + "/runs");
      await expect(page.getByRole("link", { name: "Log in with corp" })).toBeVisible();
      await page.getByLabel("Token").fill("tutti_wrong");
      await page.getByRole("button", { name: "Log in" }).click();
      await expect(page.getByRole("alert")).toContainText("This token does not hold.");
      await review(page, `login-${look}`);
      await page.getByRole("link", { name: "Log in with corp" }).click();
      await expect(page.getByRole("status")).toHaveText("The identity provider cannot be asked.");
      await review(page, `login-failed-${look}`);
    });
  });
});

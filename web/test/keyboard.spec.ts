import type { Locator, Page } from "@playwright/test";
import { applied, expect, test } from "./server";

/** Presses Tab until something has the focus, as people do. */
async function tabTo(page: Page, where: Locator) {
  await expect(where).toBeVisible();
  for (let i = 0; i < 120; i++) {
    if (await where.evaluate((e) => e === document.activeElement)) return;
    await page.keyboard.press("Tab");
  }
  throw new Error(`Tab does not lead to ${where}`);
}

/** Chooses something by keys. */
async function choose(page: Page, where: Locator) {
  await tabTo(page, where);
  await page.keyboard.press("Enter");
}

async function press(page: Page, keys: string) {
  for (const key of keys.split(" ")) await page.keyboard.press(key);
}

// Going around a page by Tab takes its time on a machine that does much else.
test.describe.configure({ timeout: 120_000 });

test.beforeEach(async ({ page, served }) => {
  await page.goto(served.url);
  await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
});

test("a change is planned, reviewed and approved without a mouse", async ({ page, served }) => {
  await applied(served, "network");
  await press(page, "g s");
  await choose(page, page.getByRole("table", { name: "Stacks" }).getByRole("link", { name: "shop" }).first());
  await expect(page.getByRole("heading", { name: "shop" })).toBeVisible();
  await choose(page, page.getByRole("button", { name: "Plan and apply" }));
  await choose(page, page.getByRole("link", { name: "Review the plan" }));
  await expect(page.getByRole("article").first()).toBeVisible();
  // From change to change; one is closed and opened.
  await press(page, "j j");
  const second = page.getByRole("article").nth(1).locator(".change-head");
  await expect(second).toBeFocused();
  await expect(second).toHaveAttribute("aria-expanded", "true");
  await press(page, "Enter");
  await expect(second).toHaveAttribute("aria-expanded", "false");
  await press(page, "/");
  await expect(page.getByRole("searchbox")).toBeFocused();
  await page.keyboard.type("config");
  await expect(page.getByRole("article")).toHaveCount(1);
  await choose(page, page.getByRole("button", { name: "Approve" }));
  const dialog = page.getByRole("dialog", { name: "Approve this plan?" });
  await tabTo(page, dialog.getByLabel("Comment"));
  await page.keyboard.type("as agreed");
  await choose(page, dialog.getByRole("button", { name: "Approve" }));
  await expect(page.locator(".page-head [data-status=succeeded]")).toBeVisible();
});

test("a workflow is started, looked at and decided about without a mouse", async ({ page }) => {
  await press(page, "g w");
  await choose(page, page.getByRole("link", { name: "release" }));
  await choose(page, page.getByRole("button", { name: "Run", exact: true }));
  const dialog = page.getByRole("dialog", { name: "Run release" });
  await tabTo(page, dialog.getByLabel(/version/));
  await page.keyboard.type("1.2.3");
  await press(page, "Enter");
  await expect(page.getByText("Is this version fit to ship?")).toBeVisible();
  // A step of the graph, then the other tabs.
  await choose(page, page.getByRole("button", { name: "build: succeeded" }));
  const panel = page.getByRole("complementary", { name: "Step build" });
  await choose(page, panel.getByRole("button", { name: "Close" }));
  await expect(panel).toHaveCount(0);
  await tabTo(page, page.getByRole("tab", { name: "Graph" }));
  await press(page, "ArrowRight");
  await expect(page.getByRole("tab", { name: "Timeline" })).toBeFocused();
  await expect(page.getByRole("table", { name: /When the steps ran/ })).toBeVisible();
  await press(page, "4");
  await expect(page.getByRole("table", { name: "Steps" })).toBeVisible();
  await choose(page, page.getByRole("button", { name: "Reject" }));
  await expect(page.getByRole("dialog")).toBeVisible();
  await press(page, "Escape");
  await expect(page.getByRole("dialog")).toHaveCount(0);
  await choose(page, page.getByRole("button", { name: "Approve" }));
  await choose(page, page.getByRole("dialog").getByRole("button", { name: "Approve" }));
  await expect(page.locator(".page-head [data-status=succeeded]")).toBeVisible();
});

test("an event is found and looked at without a mouse", async ({ page, served }) => {
  await applied(served, "network");
  await press(page, "g e");
  await expect(page.getByRole("heading", { name: "Events" })).toBeVisible();
  await press(page, "/");
  await page.keyboard.type("resource.created");
  await choose(page, page.getByRole("table", { name: "Events" }).getByRole("button").first());
  const panel = page.getByRole("complementary", { name: /^Event \d/ });
  await expect(panel.getByText("terraform_data.network").first()).toBeVisible();
  await press(page, "g d");
  await expect(page.getByText("Nothing was told to others")).toBeVisible();
  await press(page, "Control+k");
  await page.keyboard.type("audit");
  await press(page, "Enter");
  await choose(page, page.getByRole("button", { name: "Verify" }));
  await expect(page.getByText("The chain holds.")).toBeVisible();
});

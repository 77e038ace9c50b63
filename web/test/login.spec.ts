import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { expect, freePort, serve, test } from "./server";

/** Where the provider is that "make dex" builds. */
const dex = resolve(import.meta.dirname, "../../.cache/build/dex");

test("somebody logs in with an identity provider, and out", async ({ page }) => {
  test.skip(!existsSync(dex), "dex is not built: run make dex");
  const issuer = `http://127.0.0.1:${await freePort()}`;
  const provider = spawn(dex, [`-listen=${new URL(issuer).host}`], { stdio: "ignore" });
  const answers = () =>
    fetch(issuer + "/.well-known/openid-configuration").then(
      (a) => a.ok,
      () => false,
    );
  await expect.poll(answers).toBe(true);
  const identity = `
identity "corp" {
  issuer         = "${issuer}"
  client_id      = "tutti"
  scopes         = ["openid", "email", "groups"]
  username_claim = "email"
  groups_claim   = "groups"
}
`;
  const { served, stop } = await serve({
    args: ["-require-token"],
    files: { "identity.tutti.hcl": identity },
    host: "localhost",
    notifies: false,
  });
  try {
    await page.goto(served.url + "/");
    await page.getByRole("link", { name: "Log in with corp" }).click();
    await page.locator("input[name=login]").fill("ann@example.com");
    await page.locator("input[name=password]").fill("password");
    await page.locator("form button[type=submit], form #submit-login").click();
    await expect(page.getByRole("heading", { name: "Overview" })).toBeVisible();
    await expect(page.getByText("user:ann@example.com")).toBeVisible();
    await expect(page.locator(".live.on")).toBeVisible();
    await page.getByRole("button", { name: "Log out" }).click();
    await expect(page.getByRole("heading", { name: "Log in to Tutti" })).toBeVisible();
    await page.reload();
    await expect(page.getByRole("heading", { name: "Log in to Tutti" })).toBeVisible();
    // A page that was asked for is gone to once somebody is known.
    await page.goto(served.url + "/stacks?environment=dev");
    await page.getByRole("link", { name: "Log in with corp" }).click();
    await page.locator("input[name=login]").fill("ann@example.com");
    await page.locator("input[name=password]").fill("wrong");
    await page.locator("form button[type=submit], form #submit-login").click();
    await expect(page.getByText(/invalid/i)).toBeVisible();
    await page.locator("input[name=login]").fill("ann@example.com");
    await page.locator("input[name=password]").fill("password");
    await page.locator("form button[type=submit], form #submit-login").click();
    await expect(page.getByRole("heading", { name: "Stacks" })).toBeVisible();
    await expect(page).toHaveURL(/environment=dev/);
    // Sessions end with the server: whoever comes back is asked again.
    await served.kill();
    await served.restart();
    await expect(page.getByRole("heading", { name: "Log in to Tutti" })).toBeVisible();
  } finally {
    stop();
    provider.kill("SIGKILL");
  }
});

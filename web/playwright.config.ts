import { defineConfig, devices } from "@playwright/test";

// The tests drive Debian's Chromium (scripts/browser.sh) against a server of their
// own, which runs in a project of its own (test/server.ts).
export default defineConfig({
  testDir: "test",
  timeout: 60_000,
  expect: { timeout: 20_000, toHaveScreenshot: { maxDiffPixels: 20, animations: "disabled" } },
  workers: 1,
  retries: 0,
  forbidOnly: true,
  reporter: [["list"]],
  snapshotPathTemplate: "{testDir}/goldens/{arg}{ext}",
  use: {
    ...devices["Desktop Chrome"],
    viewport: { width: 1280, height: 800 },
    launchOptions: { executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--font-render-hinting=none"] },
    trace: "retain-on-failure",
  },
});

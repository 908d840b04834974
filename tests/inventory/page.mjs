// Opens a page of `hushpipe graph --html` in Chromium and does what a person does: searches, filters, clicks,
// types. No request leaves the page, nothing in a name acts, and it is quick.
//
//   node page.mjs PAGE SCREENSHOTS MODULES [MILLISECONDS]
//
// MODULES holds playwright-core. Fails where the page is not ready in so many milliseconds.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import assert from "node:assert/strict";

const [page, screenshots, modules, most] = process.argv.slice(2);
const { chromium } = createRequire(`${modules}/`)("playwright-core");
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const context = await browser.newContext({ viewport: { width: 1500, height: 920 }, colorScheme: "light" });
const tab = await context.newPage();
const said = [];
const requests = [];
tab.on("console", message => said.push(message.text()));
tab.on("pageerror", error => said.push(error.message));
tab.on("dialog", dialog => { said.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
tab.on("request", request => requests.push(request.url()));

const url = pathToFileURL(page).href;
await tab.goto(url);
await tab.waitForSelector("html[data-ready=yes]");
const ready = await tab.evaluate(() => Math.round(performance.now()));
console.log(`ready after ${ready} ms`);
assert.ok(!most || ready <= +most, `ready after ${ready} ms, and ${most} are allowed`);
await tab.screenshot({ path: `${screenshots}/page-light.png` });

const shown = async () => +(await tab.getAttribute("#rows", "aria-rowcount"));
const chips = () => tab.locator("#chips button").allTextContents();
const all = await shown();
assert.ok(all > 0);
assert.ok((await tab.locator(".row").count()) < 100, "rows that nobody sees are in the page");

// Search, by the keyboard alone.
await tab.keyboard.press("/");
const began = Date.now();
await tab.keyboard.type("service-0007");
assert.equal(await shown(), 10);
console.log(`searched in ${Date.now() - began} ms`);
await tab.keyboard.press("Escape");
await tab.keyboard.press("Escape");
assert.equal(await shown(), all);

// Filters.
await tab.selectOption("#environment", "staging");
const staging = await shown();
assert.ok(staging > 0 && staging < all);
await tab.selectOption("#finding", "crosses");
const crossing = await shown();
assert.ok(crossing > 0 && crossing < staging);
await tab.click("#clear");
assert.equal(await shown(), all);

// A click shows the paths, and who would be hit.
await tab.selectOption("#finding", "crosses");
await tab.locator(".row").first().click();
assert.equal((await chips()).length, 1);
assert.match(await tab.textContent("#detail"), /If this leaks.*service.* on .*host.* would be hit/s);
assert.match(await tab.textContent("#detail"), /Same value/);
await tab.screenshot({ path: `${screenshots}/page-secret.png` });
await tab.keyboard.press("Escape");
assert.equal((await chips()).length, 0);
await tab.click("#clear");

// The picture by the keyboard: right, down, Enter.
await tab.locator("#nodes button").first().focus();
await tab.keyboard.press("ArrowRight");
await tab.keyboard.press("ArrowDown");
await tab.keyboard.press("Enter");
assert.match((await chips())[0], /^Store: /);
await tab.keyboard.press("Escape");

// The table by the keyboard: to its end, and open the row.
await tab.focus("#rows");
await tab.keyboard.press("End");
await tab.keyboard.press("Enter");
assert.match((await chips())[0], /^Secret: /);
assert.equal(await shown(), 1);
await tab.keyboard.press("Escape");

// Each table opens and can be sorted.
for (const name of await tab.locator("#tabs button").allTextContents()) {
  await tab.click(`#tabs button:text-is("${name}")`);
  await tab.locator("#heading button").last().click();
}
await tab.click('#tabs button:text-is("Secrets")');

// Dark, by the button and by the system's setting.
const back = () => tab.evaluate(() => getComputedStyle(document.body).backgroundColor);
const light = await back();
await tab.keyboard.press("t");
assert.notEqual(await back(), light);
await tab.keyboard.press("t");
assert.equal(await back(), light);
const dark = await (await browser.newContext({ viewport: { width: 1500, height: 920 }, colorScheme: "dark" })).newPage();
await dark.goto(url);
await dark.waitForSelector("html[data-ready=yes]");
assert.notEqual(await dark.evaluate(() => getComputedStyle(document.body).backgroundColor), light);
await dark.screenshot({ path: `${screenshots}/page-dark.png` });

// Hostile names are text: nothing ran, nothing was fetched, and no script that is not the page's own can.
assert.equal(await tab.evaluate(() => window.hit), undefined);
assert.equal(await tab.locator("#rows script, #rows img, #detail img, #nodes img").count(), 0);
assert.deepEqual(said, []);
assert.deepEqual(requests, [url]);
await tab.evaluate(() => {
  const script = document.createElement("script");
  script.textContent = "window.hit = 1";
  document.body.append(script);
  return fetch("https://example.invalid/").catch(() => {});
});
assert.equal(await tab.evaluate(() => window.hit), undefined);
assert.ok(said.some(text => /Content Security Policy/.test(text)), "the page's policy let it through");
await browser.close();

#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Looks at the dashboard with a real browser: against scripted reports, and against a real altnetd.

  dashboard_check.py [--login URL --pid PID] [--pictures DIR]

URL is what `altnet dashboard` printed, PID the daemon's process, which is killed at the end. DIR gets screenshots.
Prints one JSON object for each check; the exit status is 0 when all passed.
"""
import argparse
import json
import os
import shutil
import signal
import sys
import traceback

from dashboard_browser import Browser
from dashboard_mock import MockDaemon, incident, link

# Text against what is behind it, for every element that has text of its own; gives the worst that is below WCAG's AA.
CONTRAST = """(() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const linear = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = parse(getComputedStyle(one).backgroundColor);
      if (color.length && (color.length < 4 || color[3] === 1)) return color;
    }
    return [255, 255, 255];
  };
  let worst = [99, ''];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.getClientRects().length || element.closest('.hidden, .skip, svg, [aria-hidden]')) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(parse(style.color)), luminance(behind(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const isLarge = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (isLarge ? 3 : 4.5) && ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 120)];
  }
  return worst[1] ? worst : null;
})()"""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
VERDICT = "document.getElementById('verdict').dataset.state"


def require(condition, what):
    if not condition:
        raise AssertionError(what)


def clean(browser, origin):
    # That it is not safe is answered with 503, and a browser notes every such answer.
    problems = [text for text in browser.problems if not ("503" in text and text.strip().endswith("/v1/safe"))]
    require(not problems, f"the console has {problems[:3]}")
    foreign = [url for url in browser.requested if not url.startswith((origin, "data:", "about:"))]
    require(not foreign, f"it asked others: {foreign[:3]}")


def looks(browser, mock, name, pictures):
    """Every scene in both themes and on a phone: readable, nothing beside the page, no complaint of the browser."""
    for width in (1280, 360):
        for theme in ("light", "dark"):
            browser.size(width, 900)
            browser.prefers(color_scheme=theme, reduced_motion="reduce")
            browser.open(mock.origin)
            browser.until("the verdict", f"['safe', 'unsafe'].includes({VERDICT})")
            browser.until("the tree", "document.querySelector('#tree-picture svg')")
            if pictures:
                browser.screenshot(f"{pictures}/{name}-{width}-{theme}.png")
            require(browser.run(OVERFLOW) <= 0, f"{name} at {width} is {browser.run(OVERFLOW)} pixels too wide")
            worst = browser.run(CONTRAST)
            require(not worst, f"{name}, {theme}: contrast {worst}")
    clean(browser, mock.origin)
    return {}


def lives(browser, mock):
    """What happens is seen without reloading, others' text does nothing, the keyboard is enough, an end is told."""
    mock.parts["links"].append(link(9, "bitcoin", "192.0.2.66:8333", agent="<img src=x onerror=\"window.hacked=1\">"))
    browser.size(1280, 900)
    browser.open(mock.origin)
    browser.until("the event stream", "document.getElementById('contact').dataset.state === 'live'")
    browser.until("the hostile agent as text", "document.body.textContent.includes('<img src=x')")
    require(not browser.run("window.hacked === 1 || !!document.querySelector('main img')"), "the agent's text was markup")
    tree = browser.run("document.getElementById('tree-picture').textContent")
    require("node" in tree.lower() and "957312" in tree.replace("\u202f", "").replace(",", ""), f"the tree shows {tree}")
    loads = browser.loads
    new = incident(99, "node-behind", "critical", "node", "Your node lacks 7 blocks.", 20)
    mock.parts["incidents"].insert(0, new)
    mock.push("incident", {"change": "opened", "incident": new})
    seconds = browser.until(
        "the new incident", "document.getElementById('open-incidents').textContent.includes('lacks 7 blocks')", 1.0)
    require(browser.loads == loads, "the page was loaded again")
    for _ in range(60):
        browser.press("Tab")
        if browser.run("document.activeElement.closest('#incident-99') !== null"):
            break
    else:
        raise AssertionError("the keyboard does not reach the incident")
    outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
    require(outline != "none", "what has the focus is not marked")
    browser.press("Enter")
    browser.until("the incident's details", "document.getElementById('incident-99').open")
    browser.until("the evidence", "document.querySelector('#incident-99 a[download]').offsetParent !== null")
    clean(browser, mock.origin)
    mock.kill()
    lost = browser.until("the lost connection", f"{VERDICT} === 'lost'", 10)
    require("lost" in browser.run("document.getElementById('verdict-text').textContent").lower(), "it does not say lost")
    return {"incidentSeconds": round(seconds, 2), "lostSeconds": round(lost, 2)}


def login(browser, mock):
    """Without a session the page says how to get one, and shows nothing else."""
    browser.open(mock.origin)
    browser.until("the way to log in", "!document.getElementById('login').hidden")
    require(browser.run("document.getElementById('board').hidden"), "the board is shown")
    browser.open(f"{mock.origin}/login?code={mock.token}")
    browser.until("the board", "!document.getElementById('board').hidden")
    return {}


def daemon(browser, url, pid, pictures):
    """The same page from altnetd: it logs in, shows the chain, and says at once that the daemon is gone."""
    origin = "/".join(url.split("/")[:3])
    browser.size(1280, 900)
    browser.open(url)
    browser.until("the event stream", "document.getElementById('contact').dataset.state === 'live'")
    browser.until("the tree", "document.querySelector('#tree-picture svg')")
    if pictures:
        browser.screenshot(f"{pictures}/altnetd.png")
    require(browser.run(OVERFLOW) <= 0, "the page is too wide")
    clean(browser, origin)
    os.kill(pid, signal.SIGKILL)
    lost = browser.until("the lost connection", f"{VERDICT} === 'lost'", 10)
    return {"lostSeconds": round(lost, 2)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--login", metavar="URL")
    parser.add_argument("--pid", type=int)
    parser.add_argument("--pictures", metavar="DIR")
    arguments = parser.parse_args()
    program = shutil.which("chromium")
    if not program:
        print("there is no chromium", file=sys.stderr)
        return 2
    # Whatever hangs, this ends.
    signal.alarm(240)
    failed = 0

    def check(name, work):
        nonlocal failed
        browser = Browser(program)
        try:
            report = {"check": name, "ok": True, **work(browser)}
        except Exception as error:
            failed += 1
            report = {"check": name, "ok": False, "error": f"{error}", "trace": traceback.format_exc().splitlines()[-4:],
                      "problems": browser.problems[:5]}
        finally:
            browser.close()
        print(json.dumps(report), flush=True)

    for scene in ("healthy", "empty", "storm", "forks", "names"):
        check(f"looks-{scene}", lambda browser, scene=scene: looks(browser, MockDaemon(scene), scene, arguments.pictures))
    check("lives", lambda browser: lives(browser, MockDaemon("healthy")))
    check("login", lambda browser: login(browser, MockDaemon("healthy", token="once")))
    if arguments.login:
        check("daemon", lambda browser: daemon(browser, arguments.login, arguments.pid, arguments.pictures))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

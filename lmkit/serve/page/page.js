// Shows sooner what the pages show anyway: tokens as they come, and why a token stands there without loading the page.
"use strict";

// link makes the element of one token.
function link(t) {
  const a = document.createElement("a");
  a.href = t.url;
  a.title = t.tip;
  a.textContent = t.text;
  return a;
}

// follow adds the tokens of an answer that is being written.
function follow(entry) {
  const answer = entry.querySelector(".answer"), status = entry.querySelector(".ended");
  const source = new EventSource("/a/" + entry.dataset.id + "/events");
  let begun = false;
  source.addEventListener("token", e => {
    if (!begun) answer.replaceChildren();
    begun = true;
    const t = JSON.parse(e.data);
    answer.append(link(t));
    if (t.break) answer.append(document.createElement("br"));
  });
  source.addEventListener("end", e => {
    source.close();
    status.textContent = JSON.parse(e.data) + ". Choose a token to see why it stands there.";
    entry.querySelector(".whole").hidden = !begun;
  });
  source.addEventListener("fault", e => {
    source.close();
    status.textContent = JSON.parse(e.data);
  });
  source.onerror = () => {
    source.close();
    location.reload();
  };
}

let running = null; // the explanation that is being waited for

// explain shows why, in place: url is that of a token's page.
function explain(url, keep) {
  const why = document.getElementById("why");
  if (!why) return false;
  if (running) running.close();
  const held = why.contains(document.activeElement) && document.activeElement.id;
  const at = new URL(url, location.href);
  const events = new URL(at);
  events.pathname += "/events";
  const bar = document.createElement("progress"), what = document.createElement("p");
  what.className = "busy";
  what.append("working … ", bar);
  why.replaceChildren(what);
  for (const a of document.querySelectorAll(".answer a")) {
    if (new URL(a.href).pathname === at.pathname) a.setAttribute("aria-current", "true");
    else a.removeAttribute("aria-current");
  }
  if (keep) history.pushState(null, "", at);
  const source = running = new EventSource(events);
  source.addEventListener("progress", e => {
    const p = JSON.parse(e.data);
    if (p.total) { bar.max = p.total; bar.value = p.done; }
    what.firstChild.textContent = p.what + " … ";
  });
  const show = async () => {
    source.close();
    at.searchParams.set("part", "1");
    const answer = await fetch(at, {headers: {"Accept": "text/html"}});
    if (source !== running) return;
    why.innerHTML = await answer.text();
    if (held) document.getElementById(held)?.focus(); // a keyboard goes on from where it was
  };
  source.addEventListener("done", show);
  source.onerror = show;
  return true;
}

document.addEventListener("click", e => {
  const a = e.target.closest(".answer a, .alternatives a, .whole a, .heads a");
  if (!a || e.ctrlKey || e.metaKey || e.shiftKey || e.button) return;
  if (explain(a.href, true)) e.preventDefault();
});

document.addEventListener("submit", e => {
  const form = e.target.closest(".how, .pair form");
  if (!form) return;
  const url = new URL(form.action);
  for (const [name, value] of new FormData(form, e.submitter)) if (value) url.searchParams.set(name, value);
  if (explain(url, true)) e.preventDefault();
});

// Of a method, pairs and a tool inside, the last one that was chosen is what is shown.
const ways = ["method", "matrix", "inside"];
document.addEventListener("change", e => {
  const at = ways.indexOf(e.target.id);
  if (at >= 0) for (const id of ways.slice(at + 1)) document.getElementById(id).value = "";
});

window.addEventListener("popstate", () => location.reload());

for (const entry of document.querySelectorAll(".entry[data-live]")) follow(entry);

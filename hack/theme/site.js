// Search and the menu of narrow screens. The index is a script (search/index.js), since a page that was opened as a file
// may not fetch another one.
"use strict";
const base = document.body.dataset.base;
const query = document.getElementById("query");
const results = document.getElementById("results");
const most = 20;

// The index is loaded when the reader enters the search field.
let loaded;
function load() {
  loaded ??= new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = base + "/search/index.js";
    script.addEventListener("load", resolve);
    document.head.append(script);
  });
  return loaded;
}

function found(words) {
  const ranked = [];
  for (const section of searchIndex) {
    const title = section.title.toLowerCase();
    const text = section.text.toLowerCase();
    if (!words.every((word) => title.includes(word) || text.includes(word))) continue;
    const inTitle = words.filter((word) => title.includes(word)).length;
    // Pages before files of the tree, a title that has the words before a text that has them.
    ranked.push([(section.location.startsWith("source/") ? 0 : 100) + inTitle * 10, section]);
  }
  ranked.sort((one, other) => other[0] - one[0]);
  return ranked.slice(0, most).map((pair) => pair[1]);
}

function excerpt(text, word) {
  const at = Math.max(0, text.toLowerCase().indexOf(word) - 60);
  return (at > 0 ? "... " : "") + text.slice(at, at + 180);
}

async function show() {
  await load();
  const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
  results.hidden = words.length === 0;
  results.replaceChildren();
  if (results.hidden) return;
  const sections = found(words);
  for (const section of sections) {
    const line = document.createElement("p");
    const link = document.createElement("a");
    link.href = base + "/" + section.location;
    link.textContent = section.title;
    link.addEventListener("click", () => { results.hidden = true; });
    const text = document.createElement("small");
    text.textContent = excerpt(section.text, words[0]);
    line.append(link, text);
    results.append(line);
  }
  if (sections.length === 0) results.textContent = "No page has all of these words.";
}

query.addEventListener("focus", load);
query.addEventListener("input", show);
query.addEventListener("keydown", (event) => {
  if (event.key === "Escape") { query.value = ""; show(); }
  if (event.key === "Enter") results.querySelector("a")?.click();
});

const menu = document.getElementById("menu");
menu.addEventListener("click", () => {
  const open = document.getElementById("pages").classList.toggle("open");
  menu.setAttribute("aria-expanded", String(open));
});

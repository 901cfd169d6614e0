"use strict";
// The token came with the address and is a cookie now: it should not stay in the history.
const address = new URL(window.location.href);
address.searchParams.delete("token");
window.history.replaceState(null, "", address.pathname + address.search);

const TRIES = 12; // with the pauses between them about four minutes
const LONGEST_PAUSE = 30; // seconds
const STEADY = 10; // seconds after which a connection counts as one that held
const GOES_ON = "What it shows goes on unchanged.";

const scheme = window.location.protocol === "https:" ? "wss" : "ws";
const why = document.getElementById("why");
const again = document.getElementById("again");
document.getElementById("terminal").dataset.sessionWebsocketUrl =
  scheme + "://" + window.location.host + "/ws";

// A page that is loaded again has to remember how often it was.
let tried = Number(window.sessionStorage.getItem("tried")) || 0;
let pause = 0;

const count = (times) => {
  tried = times;
  window.sessionStorage.setItem("tried", String(times));
};

const tell = (text, button) => {
  document.body.classList.add("-closed");
  why.textContent = text;
  again.textContent = button;
  again.focus();
};

// Ask whether there is room for a view, which the browser does not tell of a refused websocket.
const look = async () => {
  window.clearTimeout(pause);
  let answer;
  try {
    answer = await window.fetch("/views", { cache: "no-store" });
  } catch {
    return later("signaldeck serve cannot be reached.");
  }
  const text = await answer.text();
  if (!answer.ok) {
    return tell("signaldeck serve lets this page in no more: " + text, "Try again (enter)");
  }
  const views = JSON.parse(text);
  if (views.open < views.most) {
    return window.location.reload();
  }
  return later(views.open + " views are open, as many as there may be: close one.");
};

const later = (text) => {
  if (tried >= TRIES) {
    return tell(text + " Given up after " + tried + " tries.", "Try again (enter)");
  }
  const seconds = Math.min(2 ** tried, LONGEST_PAUSE);
  count(tried + 1);
  tell(text + " " + GOES_ON + " Trying again in " + seconds + " s.", "Try now (enter)");
  pause = window.setTimeout(look, seconds * 1000);
};

const ended = (event, opened) => {
  if (event.code === 1000) {
    tell("This view was quit. " + GOES_ON, "Open again (enter)");
  } else if (event.code === 4000) {
    tell("This view has ended: " + event.reason + ". " + GOES_ON, "Open again (enter)");
  } else if (opened === 0) {
    look();
  } else {
    if (Date.now() - opened > STEADY * 1000) {
      count(0);
    }
    later((event.reason || "The connection to signaldeck serve is lost") + ".");
  }
};

// The terminal opens its own socket and looks neither at the code nor at the reason of its end.
window.WebSocket = class extends window.WebSocket {
  constructor(...given) {
    super(...given);
    let opened = 0;
    this.addEventListener("open", () => {
      opened = Date.now();
      document.querySelector(".xterm-helper-textarea").focus(); // keys work without a click
    });
    this.addEventListener("close", (event) => ended(event, opened));
  }
};

again.addEventListener("click", () => {
  count(0);
  look();
});

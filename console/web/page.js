"use strict";
// The token came with the address and is a cookie now: it should not stay in the history.
const address = new URL(window.location.href);
address.searchParams.delete("token");
window.history.replaceState(null, "", address.pathname + address.search);

const scheme = window.location.protocol === "https:" ? "wss" : "ws";
document.getElementById("terminal").dataset.sessionWebsocketUrl =
  scheme + "://" + window.location.host + "/ws";
document.getElementById("again").addEventListener("click", () => window.location.reload());

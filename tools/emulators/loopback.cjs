// Loaded with `node --require` before the Kinesis emulator, which has no option for its address and would listen on
// every interface: makes every server of this process listen on 127.0.0.1. Changes nothing else.
const net = require("node:net");

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  const options = typeof first === "object" && first !== null ? first : { port: first };
  return listen.call(this, { ...options, host: "127.0.0.1" }, ...rest.filter((arg) => typeof arg === "function"));
};

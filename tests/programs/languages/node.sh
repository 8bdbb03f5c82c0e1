# needs: node
# limit: 90
node -e 'console.log([1,2,3].map(x => x * x).join())'
node -e 'setTimeout(() => console.log("timer"), 20); Promise.resolve().then(() => console.log("micro")); console.log("main")'
node -e 'const fs = require("fs"); fs.writeFileSync("f", "text"); console.log(fs.readFileSync("f", "utf8"), fs.statSync("f").size); fs.promises.readdir(".").then(x => console.log(x.sort().join()))'
node -e 'const {execFileSync, spawn} = require("child_process"); process.stdout.write(execFileSync("echo", ["child"])); const c = spawn("cat"); c.stdout.on("data", d => process.stdout.write(d)); c.on("close", code => console.log("closed", code)); c.stdin.end("piped\n")'
node -e 'const {Worker} = require("worker_threads"); new Worker("require(\"worker_threads\").parentPort.postMessage(6*7)", {eval: true}).on("message", m => console.log("worker", m))'
node -e 'const z = require("zlib"); console.log(z.gunzipSync(z.gzipSync("x".repeat(10000))).length); process.on("exit", c => console.log("exit", c)); process.exit(3)'; echo "status $?"
node -e 'const net = require("net"); const s = net.createServer(c => c.end("unix\n")).listen("sock", () => net.connect("sock").on("data", d => process.stdout.write(d)).on("close", () => s.close()))'

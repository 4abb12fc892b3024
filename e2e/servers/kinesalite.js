// kinesalite on a free port of this machine only, which it prints.
"use strict";
const server = require("kinesalite")({ createStreamMs: 0, deleteStreamMs: 0 });
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));

import assert from "node:assert/strict";
import { test } from "node:test";
import { configError, judge, render } from "./decide.js";

const peer = (ordinal, readySince) => ({
  ordinal,
  name: `spool-${ordinal}`,
  stays: true,
  holder: { tag: "member" },
  ready: true,
  readySince,
  terminating: false,
  ips: [`10.0.0.${ordinal + 10}`],
});

const set = {
  spec: {
    template: {
      spec: {
        containers: [{ name: "proxy" }, { name: "spool", image: "box:1", command: ["nc"], later: 1 }],
      },
    },
  },
};

const situation = (more = {}) => ({
  cause: { tag: "scale-down" },
  set: JSON.stringify(set),
  peers: [peer(0, 2_000), peer(1, 1_000)],
  config: "",
  attempt: 1,
  state: "",
  ...more,
});

const ended = (message) => ({
  ending: { tag: "by-itself" },
  containers: [
    { rendered: false, kind: { tag: "main" }, state: { tag: "exited", val: { message: '{"sent": 1, "stored": 1}' } } },
    { rendered: true, kind: { tag: "main" }, state: { tag: "exited", val: { message } } },
  ],
});

const bound = { state: '{"receiver":"spool-0"}' };

test("the member that has been ready for the longest gets the spool, and is remembered", () => {
  const { rendering, warning } = render(situation());
  assert.equal(rendering.tag, "pod");
  assert.equal(rendering.val.state, '{"receiver":"spool-1"}');
  const { containers, restartPolicy } = JSON.parse(rendering.val.template).spec;
  assert.deepEqual([containers.length, containers[0].later, restartPolicy], [1, 1, "Never"]);
  assert.deepEqual(containers[0].env, [
    { name: "RECEIVER", value: "10.0.0.11" },
    { name: "PORT", value: "7000" },
  ]);
  assert.equal(warning, null);
});

test("every attempt goes to the same member, which is waited for", () => {
  assert.equal(render(situation(bound)).rendering.val.state, bound.state);
  const at = situation(bound);
  at.peers[0].ready = false;
  assert.match(render(at).rendering.val.reason, /^spool-0 has a part of the spool/);
  at.peers[0].stays = false;
  const { rendering, warning } = render(at);
  assert.equal(rendering.val.state, '{"receiver":"spool-1"}');
  assert.match(warning, /^spool-0 .* leaves too: spool-1 gets all of it$/);
});

test("nobody who cannot take the spool gets it", () => {
  for (const unfit of [
    { stays: false },
    { ready: false },
    { terminating: true },
    { ips: [] },
    { holder: { tag: "drain-pod" } },
  ]) {
    const at = situation({ peers: [{ ...peer(0, 0), ...unfit }] });
    assert.equal(render(at).rendering.tag, "wait", JSON.stringify(unfit));
  }
});

test("two numbers that agree are the proof, of the policy's own container alone", () => {
  const at = situation({ ...bound, attempt: 3 });
  assert.deepEqual(judge(at, ended('{"sent": 4, "stored": 4}')), { tag: "complete", val: "4 files are with spool-0" });
  for (const message of ["", "4", "null", '{"sent": 4}', '{"sent": 4, "stored": 3}', '{"sent": "4", "stored": "4"}']) {
    const verdict = judge(at, ended(message));
    assert.deepEqual([verdict.tag, verdict.val.after, verdict.val.state], ["retry", 20_000, at.state], message);
  }
  assert.equal(judge(at, { ...ended('{"sent": 4, "stored": 4}'), ending: { tag: "cut-short", val: "evicted" } }).tag, "retry");
});

test("what has not ended is waited for, and given back only before it began", () => {
  const pod = { ending: { tag: "not-ended" }, wanted: true, canCancel: true, node: "node-1" };
  assert.equal(judge(situation(bound), pod).tag, "wait");
  assert.equal(judge(situation(bound), { ...pod, node: null }).tag, "cancel");
  assert.equal(judge(situation(bound), { ...pod, node: null, canCancel: false }).tag, "wait");
});

test("an unknown cause is refused and waited out", () => {
  const at = situation({ cause: { tag: "other", val: "rebalance" } });
  assert.equal(render(at).rendering.tag, "refuse");
  assert.equal(judge(at, ended("")).tag, "wait");
});

test("what is wrong with a config is named", () => {
  for (const right of ["", " ", "{}", '{"port": 1}']) {
    assert.equal(configError(right), null);
  }
  for (const [config, named] of [
    ["port", /no JSON object/],
    ["[]", /no JSON object/],
    ["null", /no JSON object/],
    ['{"prot": 1}', /`prot` is unknown/],
    ['{"port": "1"}', /`port` must be/],
    ['{"port": 0}', /`port` must be/],
  ]) {
    assert.match(configError(config), named);
    assert.equal(render(situation({ config })).rendering.tag, "refuse");
  }
});

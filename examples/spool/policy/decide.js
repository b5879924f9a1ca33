// How a spool is handed over: all of it to one member, and to the same one in every attempt.
//
// The names are those of wit/policy.wit in JavaScript's spelling: a record is an object (`set-name` is `setName`), a variant is
// `{ tag, val }`, an enum is a text, and an option that is none is null.

/** The port at which a member takes files, where the config names none. */
const DEFAULT_PORT = 7000;

const FIRST_BACK_OFF_MS = 5_000;
const LONGEST_BACK_OFF_MS = 600_000;

/** The receiver answers with the number of files that it unpacked. The two numbers are the proof. */
const SCRIPT = `set -eu -o pipefail
sent=$(find /spool -type f | wc -l)
stored=$(tar c -C /spool . | nc "$RECEIVER" "$PORT")
echo "{\\"sent\\": $sent, \\"stored\\": $stored}" > /dev/termination-log
`;

/** Which pod hands over the data; `warning` is a line for the log, or null. */
export function render(at) {
  const answer = (rendering, warning = null) => ({ rendering, warning });
  const wrong = unknownCause(at) ?? configError(at.config);
  if (wrong) {
    return answer({ tag: "refuse", val: wrong });
  }
  const staying = at.peers.filter((peer) => peer.stays);
  const before = parse(at.state)?.receiver ?? null;
  const bound = staying.find((peer) => peer.name === before);
  if (bound && !canReceive(bound)) {
    return answer(waitToRender(`${before} has a part of the spool and is not ready to take the rest`));
  }
  const receiver = bound ?? longestReady(staying.filter(canReceive));
  if (!receiver) {
    return answer(waitToRender("no member that stays is ready to take the spool"));
  }
  const warning =
    before && !bound ? `${before} has a part of the spool and leaves too: ${receiver.name} gets all of it` : null;
  return answer({ tag: "pod", val: pod(at, receiver) }, warning);
}

/** Whether the data is safe with the receiver. */
export function judge(at, pod) {
  const unknown = unknownCause(at);
  if (unknown) {
    return waitToJudge(unknown);
  }
  switch (pod.ending.tag) {
    case "not-ended":
      return going(at, pod);
    case "by-itself":
      return believed(at, pod);
    case "failed":
    case "cut-short":
      return again(at, `the hand-over did not end: ${pod.ending.val}`);
    default:
      return waitToJudge(`the policy does not know the ending \`${pod.ending.tag}\``);
  }
}

/** What is wrong with a config, with the mend; null where nothing is. */
export function configError(config) {
  const mend = 'tidegate.dev/policy-config must be empty or {"port": NUMBER}';
  if (config.trim() === "") {
    return null;
  }
  const keys = parse(config);
  if (keys === null || Array.isArray(keys) || typeof keys !== "object") {
    return `it is no JSON object: ${mend}`;
  }
  const unknown = Object.keys(keys).find((key) => key !== "port");
  if (unknown !== undefined) {
    return `\`${unknown}\` is unknown: ${mend}`;
  }
  const { port } = keys;
  const fits = port === undefined || (Number.isInteger(port) && port >= 1 && port <= 65_535);
  return fits ? null : `\`port\` must be a number from 1 to 65535: ${mend}`;
}

function pod(at, receiver) {
  const template = JSON.parse(at.set).spec.template;
  const container = template.spec.containers.find((one) => one.name === "spool");
  container.command = ["sh", "-c", SCRIPT];
  container.args = [];
  container.env = [
    ...(container.env ?? []),
    { name: "RECEIVER", value: receiver.ips[0] },
    { name: "PORT", value: String(parse(at.config)?.port ?? DEFAULT_PORT) },
  ];
  template.spec.containers = [container];
  template.spec.initContainers = [];
  // A failed hand-over is tried again with the address that the receiver has by then, not with the one of this pod.
  template.spec.restartPolicy = "Never";
  const state = JSON.stringify({ receiver: receiver.name });
  return { template: JSON.stringify(template), traffic: "none", discard: [], state };
}

function canReceive(peer) {
  return peer.holder.tag === "member" && peer.ready && !peer.terminating && peer.ips.length > 0;
}

/** The one that has been up for the longest is the least likely to be on its way out; undefined where there is none. */
function longestReady(peers) {
  return peers.toSorted((one, other) => one.readySince - other.readySince || one.ordinal - other.ordinal)[0];
}

function going(at, pod) {
  if (pod.wanted && pod.canCancel && pod.node === null) {
    return { tag: "cancel", val: "the set wants the member back, and its spool has not been touched" };
  }
  return waitToJudge(`the spool is handed to ${parse(at.state)?.receiver}`);
}

/** Believes two numbers that agree. Exit code 0 is no proof: a shell that is told to stop may end with it as well. */
function believed(at, pod) {
  const own = pod.containers.find((one) => one.rendered && one.kind.tag === "main");
  const said = parse(own?.state.val?.message);
  const { sent, stored } = said ?? {};
  if (!Number.isInteger(sent) || !Number.isInteger(stored)) {
    return again(at, "the drain pod did not say how many files it sent");
  }
  if (sent !== stored) {
    return again(at, `of ${sent} files the receiver stored ${stored}`);
  }
  return { tag: "complete", val: `${stored} files are with ${parse(at.state)?.receiver}` };
}

function again(at, reason) {
  const after = Math.min(FIRST_BACK_OFF_MS * 2 ** (at.attempt - 1), LONGEST_BACK_OFF_MS);
  return { tag: "retry", val: { reason, after, state: at.state } };
}

function waitToRender(reason) {
  return { tag: "wait", val: { reason, askAgain: null } };
}

function waitToJudge(reason) {
  return { tag: "wait", val: { reason, percent: null, askAgain: null, state: null } };
}

function unknownCause(at) {
  return at.cause.tag === "other" ? `the policy does not know the cause \`${at.cause.val}\`` : null;
}

/** The value of a JSON text; null where it is none. */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

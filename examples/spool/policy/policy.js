// What the host calls. Node does not know the host's log, so all that is tested lies in decide.js.

import log from "tidegate:policy/log@1.1.0";
import * as decide from "./decide.js";

export const renderer = {
  render: spoken((at) => {
    const { rendering, warning } = decide.render(at);
    if (warning) {
      log.log("warn", warning);
    }
    return rendering;
  }),
};

export const judge = { judge: spoken(decide.judge) };

export const validator = {
  validate(of) {
    const wrong = configError(of.config);
    if (wrong) {
      // In JavaScript the error of a `result` is what is thrown.
      throw wrong;
    }
  },
};

/** A mistake of the policy is told as one: it would pass for what is wrong with the config. */
function configError(config) {
  try {
    return decide.configError(config);
  } catch (error) {
    log.log("error", `${error}\n${error.stack}`);
    return `the policy itself failed when it was asked: ${error}`;
  }
}

/** An error that leaves the component is a trap without a word, so it is written to the log before that. */
function spoken(answer) {
  return (...told) => {
    try {
      return answer(...told);
    } catch (error) {
      log.log("error", `${error}\n${error.stack}`);
      throw error;
    }
  };
}

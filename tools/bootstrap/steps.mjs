/** The steps of the bootstrap in their order, which is here and nowhere else. */

import { baseImageStep } from './base-image.step.mjs';
import { buildStep } from './build.step.mjs';
import { dockerEngineStep } from './docker-engine.step.mjs';
import { natsServerStep } from './nats-server.step.mjs';
import { packagesStep } from './packages.step.mjs';
import { paperImageStep } from './paper-image.step.mjs';
import { pythonStep } from './python.step.mjs';
import { spinStep } from './spin.step.mjs';

const always = () => true;
const runsServices = ({ purpose }) => purpose !== 'check';
const runsContainers = (options) => runsServices(options) && options.driver === 'docker';
const runsTests = ({ purpose }) => purpose === 'test';
const runsPython = ({ purpose, driver }) => purpose !== 'start' || driver === 'process';

const STEPS = [
  { step: packagesStep, when: always },
  { step: buildStep, when: always },
  { step: natsServerStep, when: runsServices },
  { step: dockerEngineStep, when: runsContainers },
  { step: baseImageStep, when: runsContainers },
  { step: paperImageStep, when: runsContainers },
  { step: pythonStep, when: runsPython },
  { step: spinStep, when: runsTests },
];

/** @param {{purpose: string, driver: string}} options */
export function stepsFor(options) {
  return STEPS.filter(({ when }) => when(options)).map(({ step }) => step);
}

import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take much longer than all others. A worker that began one last would work on alone at the end. */
const LONGEST = [
  'package/extending',
  'chromium/flows',
  'chromium/looks',
  'database/growth',
  'scenario/endings',
  'scenario/database-outage',
  'package/peers',
];

/** Starts the longest files first, so that all workers end at about the same time. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rankOf = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`${name}.test.ts`));
      return at === -1 ? LONGEST.length : at;
    };
    return files.toSorted((one, other) => rankOf(one) - rankOf(other));
  }
}

import { Injectable } from '@nestjs/common';
import { erasedText, unreadableText } from '../privacy/event.opener.js';
import { SubjectKeys } from '../privacy/subject.keys.js';
import { subjectActor } from '../privacy/subject.names.js';

/** Tells whom the log means by `subject:<id>`. */
@Injectable()
export class SubjectNames {
  constructor(private readonly keys: SubjectKeys) {}

  /** A function from each of `whos`, as the log has them, to how it is shown. */
  async of(whos: readonly string[]): Promise<(who: string) => string> {
    const ids = new Set(whos.flatMap((who) => idOf(who) ?? []));
    const known = await this.keys.ofIds(ids);
    return (who) => {
      const id = idOf(who);
      if (id === null) return who;
      const subject = known.get(id);
      if (subject === undefined) return erasedText(id);
      return subject === null ? unreadableText(id) : subject.name;
    };
  }
}

const prefix = subjectActor('');
const idOf = (who: string): string | null =>
  who.startsWith(prefix) && /^[0-9a-f-]{36}$/.test(who.slice(prefix.length))
    ? who.slice(prefix.length)
    : null;

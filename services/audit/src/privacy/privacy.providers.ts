import type { Provider } from '@nestjs/common';
import { readMasterKeys } from '#libs/config';
import { AUDIT_CONFIG, type AuditConfig } from '../audit.config.js';
import { EventOpener } from './event.opener.js';
import { EventSealer } from './event.sealer.js';
import { KeyWrapping } from './key.wrapping.js';
import { SubjectKeys } from './subject.keys.js';
import { SubjectRepository } from './subject.repository.js';
import { SUBJECT_STORE } from './subject.store.js';
import { SubjectsService } from './subjects.service.js';

export const privacyProviders: Provider[] = [
  {
    provide: KeyWrapping,
    inject: [AUDIT_CONFIG],
    useFactory: ({ auditMasterKeyPath }: AuditConfig) =>
      new KeyWrapping(readMasterKeys(auditMasterKeyPath, { create: true })),
  },
  SubjectRepository,
  { provide: SUBJECT_STORE, useExisting: SubjectRepository },
  ...[SubjectKeys, EventSealer, EventOpener, SubjectsService],
];

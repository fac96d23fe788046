import type { ApiParsed, SecurityEventPage, SecurityReport, UnusualActivityPage } from '#libs/contracts';
import { Api } from '#libs/messaging';
import { Controller } from '@nestjs/common';
import { Payload } from '@nestjs/microservices';
import { ReportService } from './report/report.service.js';
import { SecurityService } from './security.service.js';

@Controller()
export class SecurityController {
  constructor(
    private readonly security: SecurityService,
    private readonly reports: ReportService,
  ) {}

  /** `fleet.v1.api.security.events` */
  @Api('security.events')
  async events(@Payload() request: ApiParsed<'security.events'>): Promise<SecurityEventPage> {
    return await this.security.query(request);
  }

  /** `fleet.v1.api.security.unusual` */
  @Api('security.unusual')
  async unusual(@Payload() request: ApiParsed<'security.unusual'>): Promise<UnusualActivityPage> {
    return await this.security.unusual(request);
  }

  /** `fleet.v1.api.security.report` */
  @Api('security.report')
  async report(@Payload() request: ApiParsed<'security.report'>): Promise<SecurityReport> {
    return await this.reports.report(request);
  }
}

/** A report on its way: in one message, and in parts where the line does not hold for all of it. */
import { Conflict, DeadlineExceeded, GridError, NotFound, Unavailable } from "../errors.js";
import { PartSizes } from "../transport/connection.js";
import { hex } from "../wire/bytes.js";
import { digest } from "../wire/envelope.js";
import { Real, type Packable } from "../wire/msgpack.js";
import type { CheckIn } from "./messages.js";
import type { Pending } from "./state.js";
import type { Session } from "./session.js";

const TIMEOUT = 300;
const PART_TIMEOUT = 120;
/** Bytes of the smallest content that is sent in parts. */
const WORTH_PARTS = 256 << 10;

/** Sends one report; what has arrived is not sent again, however often `attempt` is called. */
export class Delivery {
  private inParts = false;

  constructor(private readonly session: Session, private readonly assignment: CheckIn, private readonly report: Pending) {}

  private get ids() {
    return { assignment_id: this.assignment.assignmentId, request_key: this.assignment.requestKey };
  }

  private message(named: string): Packable {
    const { samples, loss, accuracy } = this.report, real = (value: number | null) => (value === null ? null : new Real(value));
    return { ...this.ids, kind: "diff", samples, loss: real(loss), accuracy: real(accuracy), digest: named };
  }

  /** Done once the Domain has it, also when it had it already; throws its refusal, or the error of the line. */
  async attempt(): Promise<void> {
    try {
      await (this.inParts ? this.sendParts() : this.session.call("federated.report", this.message(""), { payload: this.report.bytes, timeout: TIMEOUT }));
    } catch (error) {
      if (error instanceof Conflict && error.extra["reason"] === "duplicate") return; // the first answer was lost
      if ((error instanceof Unavailable || error instanceof DeadlineExceeded) && this.report.bytes.length >= WORTH_PARTS) this.inParts = true;
      throw error;
    }
  }

  private async sendParts(): Promise<void> {
    const { bytes } = this.report, named = hex(digest(bytes)), sizes = new PartSizes();
    let done = 0, known = false;
    while (!known || done < bytes.length) {
      const payload = known ? bytes.subarray(done, done + sizes.size) : new Uint8Array(0);
      try {
        const body = { ...this.ids, size: bytes.length, digest: named, offset: done };
        const reply = await this.session.call("federated.send_report_part", body, { payload, timeout: PART_TIMEOUT });
        if (payload.length) sizes.succeeded();
        done = reply.whole("received");
        known = true;
      } catch (error) {
        const passing = error instanceof Unavailable || error instanceof DeadlineExceeded ||
          (error instanceof Conflict && error.extra["reason"] === undefined);
        if (!passing) throw error;
        known = false; // more of it may have arrived than was heard of
        await sizes.failed(error as GridError);
      }
    }
    try {
      await this.session.call("federated.report", this.message(named), { timeout: TIMEOUT });
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
      this.inParts = false;
      throw new Unavailable("what had arrived of the report is gone; it is sent again");
    }
  }
}

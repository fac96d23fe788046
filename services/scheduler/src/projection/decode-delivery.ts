import { decodeEvent, Poison, type DecodedEvent, type Delivery } from '#libs/messaging';

/** The event of a delivery; null when it is none, and the delivery is rejected. */
export function decodeOrReject(delivery: Delivery): DecodedEvent | null {
  try {
    return decodeEvent(delivery);
  } catch (error) {
    if (!(error instanceof Poison)) throw error;
    delivery.reject(error.reason);
    return null;
  }
}

/**
 * The types of Stripe's events: those with a meaning here, and the resources whose events an endpoint may receive if it is
 * subscribed to everything. Data only.
 *
 * @see https://docs.stripe.com/api/events/types
 */
export const SUBSCRIPTION_TYPES = [
  'customer.subscription.created',
  'customer.subscription.updated',
  'customer.subscription.deleted',
  'customer.subscription.paused',
  'customer.subscription.resumed',
  'customer.subscription.trial_will_end',
  'customer.subscription.pending_update_applied',
  'customer.subscription.pending_update_expired',
]

export const SCHEDULE_TYPES = [
  'subscription_schedule.created',
  'subscription_schedule.updated',
  'subscription_schedule.released',
  'subscription_schedule.canceled',
  'subscription_schedule.completed',
  'subscription_schedule.aborted',
  'subscription_schedule.expiring',
]

const FOREIGN = new Set(
  `account application_fee balance balance_settings billing billing_portal capability cash_balance charge checkout
   climate coupon credit_note customer customer_cash_balance_transaction entitlements external_account file
   financial_connections identity invoice invoice_payment invoiceitem issuing_authorization issuing_card
   issuing_cardholder issuing_dispute issuing_personalization_design issuing_settlement issuing_token
   issuing_transaction mandate payment_intent payment_link payment_method payout person plan price product
   promotion_code quote radar refund reporting review setup_intent sigma source subscription_schedule tax tax_rate
   terminal test_helpers topup transfer treasury`.split(/\s+/),
)

/** An unknown type of one of these may take something away, so somebody must look. */
const OURS =
  /^(customer\.subscription|subscription_schedule|entitlements\.active_entitlement_summary|checkout\.session\.completed$)/

/** Known, and unrelated to entitlements. */
export const isForeign = (type: string): boolean =>
  !OURS.test(type) && FOREIGN.has(type.split('.', 1)[0] ?? '')

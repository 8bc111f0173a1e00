CREATE TABLE `change_requests` (
	`id` text PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`state` text NOT NULL,
	`author` text NOT NULL,
	`author_key` text,
	`people` text NOT NULL,
	`items` text NOT NULL,
	`rows` text NOT NULL,
	`environments` text NOT NULL,
	`flags` text NOT NULL,
	`required` integer NOT NULL,
	`effect` text NOT NULL,
	`digest` text NOT NULL,
	`approvals` text NOT NULL,
	`apply_at` text,
	`reason` text NOT NULL,
	`ticket` text,
	`problem` text,
	`applied_at` text,
	`reviewed_at` text,
	`reviewed_by` text,
	`review` text,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `change_requests_state` ON `change_requests` (`state`,`apply_at`);--> statement-breakpoint
CREATE INDEX `change_requests_unreviewed` ON `change_requests` (`id`) WHERE kind = 'break_glass' AND reviewed_at IS NULL;--> statement-breakpoint
CREATE TABLE `policies` (
	`environment` text PRIMARY KEY NOT NULL,
	`approvals` integer NOT NULL,
	`owner_approves` integer NOT NULL,
	`exclusive` text NOT NULL,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `findings` (
	`id` text PRIMARY KEY NOT NULL,
	`kind` text NOT NULL,
	`severity` text NOT NULL,
	`environment` text,
	`org` text,
	`flag` text,
	`evidence` text NOT NULL,
	`repair` text,
	`first_seen` text NOT NULL,
	`last_seen` text NOT NULL,
	`resolved_at` text,
	`accepted_by` text,
	`accepted_reason` text,
	`accepted_until` text,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `findings_open` ON `findings` (`kind`,`id`) WHERE resolved_at IS NULL;--> statement-breakpoint
CREATE TABLE `inbox` (
	`source` text NOT NULL,
	`event_id` text NOT NULL,
	`type` text NOT NULL,
	`state` text NOT NULL,
	`problem` text,
	`detail` text,
	`entity` text,
	`org` text,
	`revision` integer,
	`body` text NOT NULL,
	`digest` text NOT NULL,
	`meaning` text,
	`occurred_at` text,
	`received_at` text NOT NULL,
	`settled_at` text,
	`attempts` integer NOT NULL,
	`seq` integer,
	PRIMARY KEY(`source`, `event_id`)
);
--> statement-breakpoint
CREATE INDEX `inbox_open` ON `inbox` (`received_at`) WHERE state IN ('waiting', 'quarantined');--> statement-breakpoint
CREATE INDEX `inbox_entity` ON `inbox` (`entity`,`revision`);--> statement-breakpoint
CREATE INDEX `inbox_received` ON `inbox` (`received_at`);--> statement-breakpoint
CREATE TABLE `mappings` (
	`source` text NOT NULL,
	`kind` text NOT NULL,
	`external_id` text NOT NULL,
	`target` text,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL,
	PRIMARY KEY(`source`, `kind`, `external_id`)
);
--> statement-breakpoint
CREATE TABLE `mint_losses` (
	`environment` text NOT NULL,
	`reason` text NOT NULL,
	`count` integer NOT NULL,
	`last_at` text NOT NULL,
	PRIMARY KEY(`environment`, `reason`)
);
--> statement-breakpoint
CREATE TABLE `mints` (
	`jti` text PRIMARY KEY NOT NULL,
	`upstream_jti` text,
	`environment` text NOT NULL,
	`org` text,
	`sub` text,
	`sid` text,
	`client` text,
	`flags` text NOT NULL,
	`ver` text NOT NULL,
	`src` text NOT NULL,
	`minted_at` text NOT NULL,
	`expires_at` text NOT NULL,
	`request_id` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `mints_org` ON `mints` (`org`,`minted_at`,`jti`);--> statement-breakpoint
CREATE INDEX `mints_at` ON `mints` (`minted_at`);--> statement-breakpoint
ALTER TABLE `api_keys` ADD `created_by` text;--> statement-breakpoint
ALTER TABLE `audit` ADD `change` text;--> statement-breakpoint
CREATE INDEX `audit_entity` ON `audit` (`entity`,`seq`);--> statement-breakpoint
CREATE INDEX `audit_change` ON `audit` (`change`,`seq`);--> statement-breakpoint
ALTER TABLE `flags` ADD `revoke_on_loss` integer DEFAULT false NOT NULL;--> statement-breakpoint
-- Who made a key can have a copy of it, which matters when it approves something.
UPDATE api_keys SET created_by = (SELECT actor FROM audit WHERE entity = 'api_key:' || api_keys.id AND action = 'api_key.create');

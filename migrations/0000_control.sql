CREATE TABLE `api_keys` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`owner` text NOT NULL,
	`role` text NOT NULL,
	`environments` text,
	`secret_hash` text NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	`ends_at` text NOT NULL,
	`revoked_at` text,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `audit` (
	`seq` integer PRIMARY KEY NOT NULL,
	`at` text NOT NULL,
	`actor` text NOT NULL,
	`api_key` text,
	`action` text NOT NULL,
	`entity` text NOT NULL,
	`environment` text,
	`flag` text,
	`org` text,
	`user` text,
	`before` text,
	`after` text,
	`effect` text NOT NULL,
	`reason` text NOT NULL,
	`ticket` text,
	`request_id` text NOT NULL,
	`prev` text NOT NULL,
	`hash` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `audit_at` ON `audit` (`at`);--> statement-breakpoint
CREATE INDEX `audit_flag` ON `audit` (`flag`,`seq`);--> statement-breakpoint
CREATE INDEX `audit_org` ON `audit` (`org`,`seq`);--> statement-breakpoint
CREATE INDEX `audit_actor` ON `audit` (`actor`,`seq`);--> statement-breakpoint
CREATE INDEX `audit_action` ON `audit` (`action`,`seq`);--> statement-breakpoint
CREATE TABLE `contracts` (
	`id` text PRIMARY KEY NOT NULL,
	`org` text NOT NULL,
	`plan` text,
	`status` text NOT NULL,
	`from` text NOT NULL,
	`to` text,
	`grace_until` text,
	`add` text NOT NULL,
	`source` text NOT NULL,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `contracts_org` ON `contracts` (`org`);--> statement-breakpoint
CREATE INDEX `contracts_plan` ON `contracts` (`plan`);--> statement-breakpoint
CREATE TABLE `documents` (
	`key` text PRIMARY KEY NOT NULL,
	`environment` text NOT NULL,
	`kind` text NOT NULL,
	`subject` text NOT NULL,
	`version` integer NOT NULL,
	`changed_at` text NOT NULL,
	`published_version` integer DEFAULT 0 NOT NULL,
	`published_at` text,
	`attempts` integer DEFAULT 0 NOT NULL,
	`retry_at` text,
	`error` text
);
--> statement-breakpoint
CREATE INDEX `documents_pending` ON `documents` (`environment`,`version`) WHERE published_version < version;--> statement-breakpoint
CREATE TABLE `flags` (
	`key` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`description` text NOT NULL,
	`kind` text NOT NULL,
	`owner` text NOT NULL,
	`tags` text NOT NULL,
	`state` text NOT NULL,
	`no_plan_reason` text,
	`review_every_days` integer,
	`reviewed_at` text,
	`retire_by` text,
	`extensions` integer NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `flags_owner` ON `flags` (`owner`);--> statement-breakpoint
CREATE INDEX `flags_state` ON `flags` (`state`);--> statement-breakpoint
CREATE TABLE `grants` (
	`id` text PRIMARY KEY NOT NULL,
	`environment` text NOT NULL,
	`subject_kind` text NOT NULL,
	`subject_id` text NOT NULL,
	`flag` text NOT NULL,
	`effect` text NOT NULL,
	`source` text NOT NULL,
	`reason` text NOT NULL,
	`ticket` text,
	`from` text NOT NULL,
	`to` text,
	`created_by` text NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	`revoked_at` text,
	`revoked_by` text,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE INDEX `grants_subject` ON `grants` (`subject_id`,`subject_kind`,`environment`);--> statement-breakpoint
CREATE INDEX `grants_flag` ON `grants` (`flag`,`environment`);--> statement-breakpoint
CREATE TABLE `idempotency` (
	`actor` text NOT NULL,
	`key` text NOT NULL,
	`request` text NOT NULL,
	`status` integer NOT NULL,
	`etag` text,
	`body` text NOT NULL,
	`created_at` text NOT NULL,
	PRIMARY KEY(`actor`, `key`)
);
--> statement-breakpoint
CREATE INDEX `idempotency_created` ON `idempotency` (`created_at`);--> statement-breakpoint
CREATE TABLE `organizations` (
	`id` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`not_before` integer NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `plans` (
	`key` text PRIMARY KEY NOT NULL,
	`name` text NOT NULL,
	`description` text NOT NULL,
	`flags` text NOT NULL,
	`grace_days` integer NOT NULL,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE `rules` (
	`flag` text NOT NULL,
	`environment` text NOT NULL,
	`access` text NOT NULL,
	`percentage` real,
	`killed` integer NOT NULL,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL,
	PRIMARY KEY(`flag`, `environment`)
);

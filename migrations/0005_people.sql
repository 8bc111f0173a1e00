CREATE TABLE `bootstraps` (
	`secret_hash` text PRIMARY KEY NOT NULL,
	`used_at` text NOT NULL
);
--> statement-breakpoint
CREATE TABLE `people` (
	`subject` text PRIMARY KEY NOT NULL,
	`name` text,
	`email` text,
	`roles` text NOT NULL,
	`identities` text NOT NULL,
	`names` text NOT NULL,
	`gone_at` text,
	`created_at` text NOT NULL,
	`updated_at` text NOT NULL,
	`revision` integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE `audit` ADD `on_behalf_of` text;--> statement-breakpoint
ALTER TABLE `change_requests` ADD `on_behalf_of` text;--> statement-breakpoint
ALTER TABLE `policies` ADD `kinds` text;--> statement-breakpoint
ALTER TABLE `policies` ADD `flags` text;
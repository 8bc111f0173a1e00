CREATE TABLE `agreements` (
	`contract` text PRIMARY KEY NOT NULL,
	`source` text NOT NULL,
	`system` text,
	`external_id` text NOT NULL,
	`customer` text,
	`revision` integer NOT NULL,
	`meaning` text NOT NULL,
	`said` text NOT NULL,
	`names` text NOT NULL,
	`whole` integer NOT NULL,
	`due_since` text,
	`event_source` text NOT NULL,
	`event_id` text NOT NULL,
	`derived_at` text NOT NULL
);
--> statement-breakpoint
CREATE INDEX `agreements_number` ON `agreements` (`source`,`external_id`);--> statement-breakpoint
CREATE INDEX `agreements_customer` ON `agreements` (`source`,`customer`);--> statement-breakpoint
CREATE INDEX `agreements_event` ON `agreements` (`event_source`,`event_id`);--> statement-breakpoint
ALTER TABLE `inbox` ADD `system` text;--> statement-breakpoint
ALTER TABLE `inbox` ADD `person` text;--> statement-breakpoint
ALTER TABLE `inbox` ADD `asked_by` text;--> statement-breakpoint
ALTER TABLE `inbox` ADD `needs` text;--> statement-breakpoint
ALTER TABLE `inbox` ADD `dismissed_by` text;--> statement-breakpoint
ALTER TABLE `inbox` ADD `dismissed_reason` text;--> statement-breakpoint
CREATE INDEX `inbox_unsettled` ON `inbox` (`received_at`) WHERE state = 'received';--> statement-breakpoint
-- What events are about, in our names: so far flags and organizations went by the source's own, which it may use once.
UPDATE `inbox` SET
  `entity` = 'organization:' || COALESCE(
    (SELECT `target` FROM `mappings` WHERE `source` = 'workos' AND `kind` = 'org' AND `external_id` = substr(`inbox`.`entity`, 12)),
    substr(`entity`, 12)),
  `revision` = CASE WHEN `revision` >= 4000000000000000 THEN (`revision` - 4000000000000000) * 10 + 2 ELSE `revision` END
WHERE `entity` LIKE 'workos:org:%';--> statement-breakpoint
UPDATE `inbox` SET
  `entity` = 'flag:' || substr(substr(`entity`, 13), 1, instr(substr(`entity`, 13), ':') - 1) || ':' || COALESCE(
    (SELECT `target` FROM `mappings` WHERE `source` = 'workos' AND `kind` = 'flag' AND `external_id` = json_extract(`inbox`.`body`, '$.data.slug')),
    (SELECT `target` FROM `mappings` WHERE `source` = 'workos' AND `kind` = 'flag' AND `external_id` = json_extract(`inbox`.`body`, '$.data.id')),
    json_extract(`body`, '$.data.slug')),
  `revision` = CASE WHEN `revision` >= 4000000000000000 THEN (`revision` - 4000000000000000) * 10 + 2 ELSE `revision` END
WHERE `entity` LIKE 'workos:flag:%' AND json_extract(`body`, '$.data.slug') IS NOT NULL;

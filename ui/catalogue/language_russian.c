/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Russian, in the terms of Windows: диск, раздел, том, образ, восстановление, проверка. Names and numbers that are filled in stand where no case
 * has to follow them.
 */
#include "ui/catalogue/catalogue.h"

static const char *const texts[TEXT_COUNT] = {
    [TEXT_KEY_CHOOSE] = "Выбрать",
    [TEXT_KEY_GO_ON] = "Далее",
    [TEXT_KEY_BACK] = "Назад",
    [TEXT_KEY_HELP] = "Справка",
    [TEXT_KEY_CHANGE] = "Изменить",
    [TEXT_KEY_MOVE] = "Перемещение",
    [TEXT_KEY_LOOK_AGAIN] = "Обновить",
    [TEXT_KEY_PARTITION] = "Один раздел",
    [TEXT_KEY_LANGUAGE] = "Язык/Language",
    [TEXT_KEY_CANCEL] = "Отменить",
    [TEXT_KEY_PAUSE] = "Пауза",
    [TEXT_KEY_RESUME] = "Продолжить",
    [TEXT_KEY_CLOSE] = "Закрыть",
    [TEXT_KEY_START] = "Начать",
    [TEXT_KEY_SCROLL] = "Прокрутка",
    [TEXT_KEY_RENAME] = "Изменить имя",

    [TEXT_STEP] = "Шаг %1 из %2",
    [TEXT_YES] = "да",
    [TEXT_NO] = "нет",
    [TEXT_UNKNOWN] = "неизвестно",
    [TEXT_SERIAL_OF] = "серийный номер %1",
    [TEXT_NO_SERIAL] = "нет серийного номера",
    [TEXT_COMMAND_IS] = "Команда:",
    [TEXT_WAIT_DISKS] = "Поиск дисков…",
    [TEXT_WAIT_VOLUMES] = "Поиск мест, где могут быть образы…",
    [TEXT_WAIT_DRIVERS] = "Подключение к дискам…",
    [TEXT_WAIT_PLAN] = "Чтение структуры диска и составление плана…",
    [TEXT_WAIT_IMAGE] = "Чтение структуры образа…",
    [TEXT_WAIT_MOMENT] = "Несколько секунд; дольше, если какой-то диск не отвечает.",

    [TEXT_TITLE_START] = "Образы дисков",
    [TEXT_START_QUESTION] = "Что вы хотите сделать?",
    [TEXT_START_SAVE] = "Сохранить диск в образ",
    [TEXT_START_SAVE_HINT] = "Перед переустановкой или ремонтом. На самом диске ничего не меняется.",
    [TEXT_START_RESTORE] = "Восстановить диск из образа",
    [TEXT_START_RESTORE_HINT] = "Записывает образ обратно. Всё, что есть на целевом диске, стирается.",
    [TEXT_START_CLONE] = "Клонировать диск на другой диск",
    [TEXT_START_CLONE_HINT] = "Напрямую, без образа. Всё, что есть на целевом диске, стирается.",
    [TEXT_START_CHECK] = "Проверить образ",
    [TEXT_START_CHECK_HINT] = "Читает его целиком и сверяет каждый хеш. Ничего не записывает.",
    [TEXT_START_LOOK] = "Посмотреть диски",
    [TEXT_START_LOOK_HINT] = "Диски, разделы, файловые системы и занятое место.",
    [TEXT_START_PROMPT] = "Командная строка",
    [TEXT_START_PROMPT_HINT] = "Для тех, кто знает команды; их список выводит команда help.",
    [TEXT_START_REBOOT] = "Перезагрузить компьютер",
    [TEXT_START_POWER_OFF] = "Выключить компьютер",
    [TEXT_START_LEAVE] = "Выйти из Eidolon",
    [TEXT_LANGUAGE_QUESTION] = "Язык / Language",

    [TEXT_TITLE_SAVE] = "Сохранение диска",
    [TEXT_TITLE_RESTORE] = "Восстановление диска",
    [TEXT_TITLE_CLONE] = "Клонирование диска",
    [TEXT_TITLE_CHECK] = "Проверка образа",
    [TEXT_TITLE_LOOK] = "Диски",
    [TEXT_DISK_SAVE_QUESTION] = "Какой диск сохранить?",
    [TEXT_DISK_RESTORE_QUESTION] = "На какой диск восстановить образ? Этот диск будет стёрт.",
    [TEXT_DISK_CLONE_QUESTION] = "Источник: какой диск клонировать?",
    [TEXT_DISK_CLONE_TARGET_QUESTION] = "Цель: на какой диск записать? Этот диск будет стёрт.",
    [TEXT_DISK_LOOK_QUESTION] = "Диски этого компьютера",
    [TEXT_PARTITION_QUESTION] = "Какой раздел?",
    [TEXT_COLUMN_MODEL] = "Модель",
    [TEXT_COLUMN_SERIAL] = "Серийный номер",
    [TEXT_COLUMN_SIZE] = "Размер",
    [TEXT_COLUMN_BUS] = "Шина",
    [TEXT_COLUMN_FILE_SYSTEM] = "Файл. сист.",
    [TEXT_COLUMN_LABEL] = "Метка",
    [TEXT_COLUMN_USED] = "Занято",
    [TEXT_DISK_IS_STICK] = "флешка, с которой запущен Eidolon",
    [TEXT_DISK_IS_SOURCE] = "сам источник",
    [TEXT_DISK_IS_READ_ONLY] = "защищён от записи",
    [TEXT_DISK_NOT_A_TARGET] = "Этот диск не может быть целью: %1.",
    [TEXT_DISK_NONE] =
        "Диски не найдены. Проверьте кабели и питание и нажмите F5. Если в настройках UEFI (BIOS) включён режим "
        "RAID, RST или VMD, переключите его на AHCI.",
    [TEXT_DISK_SILENT] = "Этот диск не отвечает.",
    [TEXT_DISK_HALF_RESTORED] = "Восстановлен не полностью: не загружается до нового восстановления.",
    [TEXT_DISK_NO_TABLE] = "нет таблицы разделов",
    [TEXT_DISK_NOT_PARTITIONED] = "не распределено",
    [TEXT_PARTITION_NUMBER] = "Раздел %1",
    [TEXT_PARTITION_NONE] = "На этом диске нет разделов.",

    [TEXT_VOLUME_QUESTION] = "Куда сохранить образ?",
    [TEXT_VOLUME_IMAGE_QUESTION] = "Где находится образ?",
    [TEXT_COLUMN_VOLUME] = "Том",
    [TEXT_COLUMN_FREE] = "Свободно",
    [TEXT_COLUMN_DISK] = "На диске",
    [TEXT_VOLUME_EXPECTED] = "Образ займёт примерно %1, самое большее %2.",
    [TEXT_VOLUME_FITS] = "места хватит",
    [TEXT_VOLUME_TIGHT] = "может не хватить",
    [TEXT_VOLUME_TOO_SMALL] = "слишком мал",
    [TEXT_VOLUME_NOT_WRITABLE] = "нельзя записать",
    [TEXT_VOLUME_ON_SOURCE] = "Этот том — на самом сохраняемом диске: переустановка сотрёт и его.",
    [TEXT_DISK_HAS_IMAGE] = "Образ находится на этом диске: записать можно только в другой его раздел.",
    [TEXT_VOLUME_STICK] = "Флешка Eidolon",
    [TEXT_VOLUME_NONE] =
        "Не найдено ни одного тома, на котором можно хранить образы. Подключите диск с exFAT, NTFS, ext4 или FAT "
        "и нажмите F5.",
    [TEXT_IMAGE_QUESTION] = "Какой образ?",
    [TEXT_IMAGE_NONE] = "Здесь нет ни образов (.eid), ни папок.",
    [TEXT_IMAGE_UP] = "(на уровень выше)",
    [TEXT_COLUMN_NAME] = "Имя",
    [TEXT_COLUMN_DATE] = "Дата",
    [TEXT_KIND_FOLDER] = "папка",
    [TEXT_FOLDER_UNREADABLE] = "Не удаётся прочитать эту папку: %1",

    [TEXT_OPTIONS_QUESTION] = "Параметры. Текущие значения подходят в большинстве случаев.",
    [TEXT_OPTION_NAME] = "Имя образа",
    [TEXT_OPTION_LEVEL] = "Сжатие",
    [TEXT_OPTION_VERIFY] = "Прочитать обратно и сравнить",
    [TEXT_OPTION_SPLIT] = "Разбить на файлы",
    [TEXT_OPTION_SALVAGE] = "Спасение: продолжать при сбоях",
    [TEXT_OPTION_RAW] = "Копировать и незанятые блоки",
    [TEXT_OPTION_DISCARD] = "Освободить незанятые блоки (TRIM)",
    [TEXT_OPTION_CONTINUE] = "Продолжить прерванную работу",
    [TEXT_OPTION_GO_ON] = "Далее: план",
    [TEXT_LEVEL_AUTO] = "автоматически",
    [TEXT_LEVEL_NUMBER] = "уровень %1",
    [TEXT_LEVEL_FASTEST] = "уровень 1, самый быстрый",
    [TEXT_LEVEL_SMALLEST] = "уровень 19, сильнейший, очень долго",
    [TEXT_SPLIT_NONE] = "один файл",
    [TEXT_SPLIT_SIZE] = "каждый не больше %1",
    [TEXT_OPTION_NAME_HINT] = "Латиница, цифры и - _ . годятся везде. Ничего не перезаписывается.",
    [TEXT_OPTION_LEVEL_HINT] = "Автоматически: настолько сильно, насколько позволяет скорость дисков.",
    [TEXT_OPTION_VERIFY_HINT] = "Без этого неизвестно, можно ли прочитать записанное.",
    [TEXT_OPTION_SPLIT_HINT] = "На томах FAT так делается всегда, если файл превысил бы 4 GiB.",
    [TEXT_OPTION_SALVAGE_HINT] = "Для сбойных дисков и повреждённых образов: нечитаемое заменяется нулями.",
    [TEXT_OPTION_RAW_HINT] = "Чтобы позже вернуть удалённые файлы. Образ больше, времени нужно больше.",
    [TEXT_OPTION_DISCARD_HINT] = "SSD затем работают быстрее. Содержимое этих блоков исчезает навсегда.",
    [TEXT_OPTION_CONTINUE_HINT] = "Уже записанное остаётся, записывается только остальное.",
    [TEXT_OPTION_GO_ON_HINT] = "Ничего не произойдёт, пока вы не увидите план и не согласитесь.",
    [TEXT_NAME_EMPTY] = "Укажите имя образа.",
    [TEXT_NAME_NOT_ALLOWED] = "В имени недопустимы символы: \\ / : * ? \" < > | # { }",
    [TEXT_NAME_EXISTS] = "Файл с таким именем уже есть. Выберите другое имя.",

    [TEXT_PLAN_QUESTION] = "Вот что произойдёт.",
    [TEXT_PLAN_READ_DISK] = "ЧТЕНИЕ: диск %1 (%2, %3).",
    [TEXT_PLAN_READ_PARTITION] = "ЧТЕНИЕ: раздел %4 диска %1 (%2, %3).",
    [TEXT_PLAN_READ_IMAGE] = "ЧТЕНИЕ: образ %1 (дата: %4) диска %2 (%3).",
    [TEXT_PLAN_READ_IMAGE_PARTITION] = "ЧТЕНИЕ: раздел %4 образа %1 диска %2 (%3).",
    [TEXT_PLAN_WRITE_IMAGE] = "ЗАПИСЬ: образ %1.",
    [TEXT_PLAN_WRITE_DISK] = "ЗАПИСЬ: диск %1 (%2, %3).",
    [TEXT_PLAN_WRITE_PARTITION] = "ЗАПИСЬ: раздел %4 диска %1 (%2, %3).",
    [TEXT_PLAN_COMPARED_DISK] = "СРАВНЕНИЕ: диск %1 (%2, %3).",
    [TEXT_PLAN_ERASE] = "СТИРАНИЕ: всё, что сейчас есть на целевом диске:",
    [TEXT_PLAN_ERASE_PARTITION] = "СТИРАНИЕ: всё, что сейчас есть в целевом разделе:",
    [TEXT_PLAN_ERASE_UNKNOWN] = "известных разделов там нет",
    [TEXT_PLAN_AMOUNT] = "Занято и копируется: %1; не занято и пропускается: %2.",
    [TEXT_PLAN_AMOUNT_CHECKED] = "Занято и проверяется: %1.",
    [TEXT_PLAN_SPACE] = "Образ займёт примерно %1, самое большее %2. Свободно там, куда он записывается: %3.",
    [TEXT_PLAN_SPLIT] = "Образ разбивается на файлы не больше %1 (.001, .002 и так далее).",
    [TEXT_PLAN_SOURCE_SAFE] = "На сохраняемый диск ничего не записывается.",
    [TEXT_PLAN_READ_BACK] = "Затем всё записанное читается обратно и сравнивается.",
    [TEXT_PLAN_NO_READ_BACK] = "Записанное не читается обратно: верно ли оно, останется неизвестным.",
    [TEXT_PLAN_CUT_OFF] = "Если работа прервётся, загрузка с цели будет невозможна до нового восстановления.",
    [TEXT_PLAN_REFUSED] = "Это невозможно. Причины:",
    [TEXT_PLAN_REMARKS] = "Обратите внимание:",
    [TEXT_PLAN_TYPE_SERIAL] = "Чтобы стереть его, введите последние 4 знака серийного номера:",
    [TEXT_PLAN_TYPE_YES_ERASE] = "У этого диска нет серийного номера. Чтобы стереть его, введите yes:",
    [TEXT_PLAN_TYPE_YES] = "Чтобы всё же продолжить, введите слово yes:",
    [TEXT_PLAN_ENTER] = "Нажмите Enter, чтобы начать.",
    [TEXT_PLAN_NOT_TYPED] = "Не совпадает. Ничего не записано.",
    [TEXT_PLAN_FAILED] = "Не удалось составить план.",

    [TEXT_WORK_SAVE] = "Сохранение",
    [TEXT_WORK_RESTORE] = "Восстановление",
    [TEXT_WORK_CLONE] = "Клонирование",
    [TEXT_WORK_CHECK] = "Проверка",
    [TEXT_PHASE_PLAN] = "составление плана",
    [TEXT_PHASE_COPY] = "копирование",
    [TEXT_PHASE_FLUSH] = "сброс кэша на диск",
    [TEXT_PHASE_READ_BACK] = "обратное чтение и сравнение",
    [TEXT_PHASE_FINISH] = "завершение",
    [TEXT_WORK_AMOUNT] = "%1 из %2",
    [TEXT_WORK_LEFT] = "Осталось",
    [TEXT_WORK_PASSED] = "Прошло",
    [TEXT_WORK_READING] = "Чтение",
    [TEXT_WORK_COMPRESSING] = "Сжатие",
    [TEXT_WORK_EXPANDING] = "Распаковка",
    [TEXT_WORK_WRITING] = "Запись",
    [TEXT_WORK_COMPARING] = "Сравнение",
    [TEXT_WORK_RATIO] = "Размер образа",
    [TEXT_WORK_RATIO_VALUE] = "%1 от данных",
    [TEXT_WORK_WHERE] = "Сейчас",
    [TEXT_WORK_WHERE_TABLE] = "таблица разделов",
    [TEXT_WORK_RATE] = "%1/s",
    [TEXT_WORK_PAUSED] = "ПАУЗА",
    [TEXT_WORK_WARNINGS] = "Предупреждения:",
    [TEXT_WORK_NO_WARNINGS] = "пока нет",
    [TEXT_MAP_UNUSED] = "не занято",
    [TEXT_MAP_TO_DO] = "предстоит",
    [TEXT_MAP_READ] = "прочитано",
    [TEXT_MAP_WRITTEN] = "записано",
    [TEXT_MAP_COMPARED] = "сравнено",
    [TEXT_MAP_BAD] = "не читается",
    [TEXT_CANCEL_QUESTION] = "Отменить работу?",
    [TEXT_CANCEL_SAVE] = "Начатый образ будет удалён. Сам диск останется как есть.",
    [TEXT_CANCEL_RESTORE] = "Цель останется восстановленной не полностью. Загрузка с неё будет невозможна до нового "
                            "восстановления; его можно будет продолжить с этого места.",
    [TEXT_CANCEL_CLONE] =
        "Цель останется записанной не полностью. Загрузка с неё будет невозможна, пока её не запишут заново.",
    [TEXT_CANCEL_CHECK] = "Ничего не изменится; образ останется непроверенным.",
    [TEXT_CANCEL_YES] = "Отменить работу",
    [TEXT_CANCEL_NO] = "Продолжить работу",

    [TEXT_RESULT_VERIFIED] = "ГОТОВО И ПРОВЕРЕНО",
    [TEXT_RESULT_UNVERIFIED] = "ЗАПИСАНО, НО НЕ ПРОВЕРЕНО ОБРАТНЫМ ЧТЕНИЕМ",
    [TEXT_RESULT_CHECKED] = "ВСЁ СОВПАЛО",
    [TEXT_RESULT_LOSSES] = "ГОТОВО, НО С ПОТЕРЯМИ",
    [TEXT_RESULT_CANCELLED] = "ОТМЕНЕНО",
    [TEXT_RESULT_FAILED] = "НЕ УДАЛОСЬ",
    [TEXT_RESULT_VERIFIED_TEXT] = "Записанное прочитано обратно, и всё совпало.",
    [TEXT_RESULT_UNVERIFIED_TEXT] =
        "Всё записано, и кэш сброшен на диск, но обратно записанное не читалось. Проверьте его, прежде "
        "чем на него полагаться.",
    [TEXT_RESULT_CHECKED_TEXT] = "Прочитано всё, и каждый хеш верен.",
    [TEXT_RESULT_LOSSES_TEXT] = "Не удалось прочитать %1; теперь там нули. Список — ниже и в отчёте.",
    [TEXT_RESULT_CANCELLED_TEXT] = "Вы остановили работу.",
    [TEXT_RESULT_NUMBERS] = "Скопировано %1 за %2. Размер образа: %3.",
    [TEXT_RESULT_NUMBERS_PLAIN] = "Скопировано %1 за %2.",
    [TEXT_RESULT_NUMBERS_CHECKED] = "Проверено %1 за %2.",
    [TEXT_RESULT_ROOT] = "Корневой хеш",
    [TEXT_RESULT_REPORT] = "Отчёт: %1.",
    [TEXT_RESULT_NO_REPORT] = "Не удалось сохранить отчёт: %1",
    [TEXT_RESULT_CONTINUE] =
        "Когда источник и цель снова будут доступны, повторите то же с параметром «Продолжить прерванную "
        "работу»: работа пойдёт дальше с этого места.",
    [TEXT_RESULT_AGAIN] = "Вернуться в начало",

    [TEXT_UNATTENDED_TITLE] = "Автоматический режим",
    [TEXT_UNATTENDED_COUNT] = "Начнётся само через %1 с. Любая клавиша остановит.",
    [TEXT_UNATTENDED_RULE] = "Этому компьютеру соответствует правило «%1» из файла заданий:",
    [TEXT_UNATTENDED_NO_RULE] = "ДЛЯ ЭТОГО КОМПЬЮТЕРА НЕТ ПРАВИЛА",
    [TEXT_UNATTENDED_UNTOUCHED] = "Ничего не изменено. Вот что компьютер сообщает о себе:",
    [TEXT_UNATTENDED_WRONG] = "ФАЙЛ ЗАДАНИЙ НЕВОЗМОЖНО ВЫПОЛНИТЬ",
    [TEXT_UNATTENDED_ERASED] = "СТИРАНИЕ: всё, что сейчас есть на этом диске.",
    [TEXT_UNATTENDED_ALREADY] = "ЭТОТ КОМПЬЮТЕР УЖЕ ОБРАБОТАН",
    [TEXT_UNATTENDED_NOTHING] = "ЗДЕСЬ НИЧЕГО ДЕЛАТЬ НЕ НУЖНО",
    [TEXT_UNATTENDED_STOPPED] = "Вы остановили запуск. Ничего не изменено.",

    [TEXT_HELP_TITLE] = "Справка",
    [TEXT_HELP_START] =
        "Eidolon сохраняет содержимое диска в один сжатый файл — образ — и возвращает его обратно.\n\nСтрелки "
        "перемещают, Enter выбирает, Esc возвращает назад. F2 меняет язык. Ни на один диск ничего не записывается, "
        "пока "
        "вы не увидели план и не согласились с ним.\n\nКаждый экран показывает команду, которой он соответствует: та "
        "же "
        "строка работает в командной строке и в файлах заданий.",
    [TEXT_HELP_DISK] =
        "Для каждого диска показаны модель, серийный номер и размер; они напечатаны и на его этикетке. Под списком — "
        "карта "
        "выбранного диска: каждому разделу отведено поле по его доле на диске.\n\nEnter выбирает весь диск. "
        "Стрелка вправо — один из его разделов. F5 обновляет список, если вы что-то подключили.\n\nФлешка, с которой "
        "запущен Eidolon, никогда не бывает целью.",
    [TEXT_HELP_VOLUME] =
        "Образы — обычные файлы. Они могут быть на любом томе с exFAT, NTFS, ext4 или FAT: на внешнем диске, на втором "
        "диске, в другом разделе. Столбец свободного места показывает, поместится ли образ.\n\nПеред переустановкой "
        "выберите диск, который не будут переустанавливать.",
    [TEXT_HELP_IMAGE] =
        "Имена образов оканчиваются на .eid или, если образ из нескольких файлов, на .eid.001. Enter открывает "
        "папку или выбирает образ. Образ проверяется до того, как что-либо будет записано.",
    [TEXT_HELP_OPTIONS] =
        "Стрелки вверх и вниз выбирают параметр, стрелки влево и вправо или пробел меняют его. Строка ниже "
        "объясняет, что он делает. Enter ведёт к плану.",
    [TEXT_HELP_PLAN] = "Прочтите план. Сравните модель, серийный номер и размер с этикеткой на диске. Стёртое вернуть "
                       "нельзя.\n\nЧтобы стереть диск, нужно ввести последние четыре знака его серийного номера: так "
                       "не сотрёшь по ошибке другой диск.",
    [TEXT_HELP_WORK] =
        "Карта показывает диск от начала до конца. Её поля заполняются по мере того, как блоки читаются, записываются "
        "и "
        "сравниваются.\n\nP или пробел — пауза: диски отдыхают, ничего не теряется. Esc спрашивает, отменить ли "
        "работу.",
    [TEXT_HELP_RESULT] =
        "«Проверено» означает: записанное прочитано обратно с носителя и сравнено. Если это не так, об этом прямо "
        "сказано.\n\nОтчёт и журнал — на флешке Eidolon, в папке EIDOLON.",
};

static const struct error_text errors[ERROR_CODE_COUNT] = {
    [ERROR_NONE] = {"нет ошибки", ""},
    [ERROR_NO_MEMORY] = {"недостаточно памяти", "Закройте другие программы или уменьшите --chunk."},
    [ERROR_FULL] = {"очередь заполнена", ""},
    [ERROR_IO] = {"ошибка ввода-вывода", "Проверьте кабель и питание и повторите попытку."},
    [ERROR_MEDIUM] = {"сектор не читается или не записывается",
                      "Диск выходит из строя. С --salvage работа продолжится, а вместо нечитаемого будут нули."},
    [ERROR_TIMEOUT] = {"нет ответа в отведённое время", "Проверьте кабель и питание; возможно, диск выходит из строя."},
    [ERROR_ABORTED] = {"прервано сбросом", "Повторите попытку."},
    [ERROR_GONE] = {"устройство отключено", "Подключите его снова или проверьте кабель и питание."},
    [ERROR_WRITE_PROTECTED] = {"защита от записи", "Снимите защиту от записи или выберите другую цель."},
    [ERROR_OUT_OF_RANGE] = {"вне допустимых границ", ""},
    [ERROR_UNSUPPORTED] = {"не поддерживается", ""},
    [ERROR_PROTOCOL] = {"ответ устройства противоречит спецификации", "Повторите попытку с io=firmware."},
    [ERROR_CORRUPT] = {"повреждённые данные", "С --salvage берётся то, что цело."},
    [ERROR_INCOMPLETE] = {"у образа нет конца: сохранение было прервано или не хватает одного из файлов",
                          "capture --continue продолжит его; с --salvage берётся то, что есть."},
    [ERROR_MISMATCH] = {"прочитано обратно не то, что было записано", "Не доверяйте этому диску."},
    [ERROR_NO_SPACE] = {"недостаточно места", "Выберите цель побольше."},
    [ERROR_NOT_FOUND] = {"не найдено", "Команда list показывает диски."},
    [ERROR_AMBIGUOUS] = {"имя неоднозначно", "Введите имя полнее."},
    [ERROR_EXISTS] = {"уже существует", "Выберите другое имя; ничего не перезаписывается."},
    [ERROR_BUSY] = {"используется чем-то другим", "Размонтируйте его или закройте программу, которая его использует."},
    [ERROR_REFUSED] = {"отказано", ""},
    [ERROR_USAGE] = {"непонятно", ""},
    [ERROR_CANCELLED] = {"отменено", ""},
    [ERROR_END] = {"достигнут конец", ""},
};

static const char *const messages[MESSAGE_COUNT] = {
    [MESSAGE_NONE] = "",
    [MESSAGE_FS_UNKNOWN] = "нет известной файловой системы: копируется целиком",
    [MESSAGE_FS_NO_READER] = "%t: здесь нельзя узнать, какие блоки заняты; копируется целиком",
    [MESSAGE_FS_UNKNOWN_FEATURE] = "%t использует неизвестную здесь возможность (%u): копируется целиком",
    [MESSAGE_FS_DAMAGED] = "%t: повреждение (%u, байт %0); копируется целиком",
    [MESSAGE_FS_READER_FAILED] = "%t: не удалось прочитать (%u); копируется целиком",
    [MESSAGE_FS_AUDIT_FAILED] =
        "%t: собственная структура (%u, байт %0) отмечена как незанятая, чего не может быть; копируется целиком",
    [MESSAGE_FS_BIGGER_THAN_VOLUME] = "%t: заявлен размер %a, а размер тома — %b; копируется целиком",
    [MESSAGE_FS_JOURNAL_DIRTY] = "файловая система %t не была размонтирована правильно; её журнал сохраняется и будет "
                                 "применён при следующем монтировании",
    [MESSAGE_FS_JOURNAL_EXTERNAL] = "журнал %t находится на другом диске (%u) и в этот образ не входит",
    [MESSAGE_FS_NOT_CLEAN] = "файловая система %t не была размонтирована правильно; сохраняется как есть",
    [MESSAGE_FS_HIBERNATED] =
        "Windows в режиме гибернации или включён быстрый запуск (%t); сохраняется как есть. Для чистого образа "
        "завершите работу Windows, удерживая Shift",
    [MESSAGE_FS_HAS_ERRORS] =
        "файловая система %t сообщает, что содержит ошибки; сохраняется как есть. Проверьте её, прежде чем "
        "ей доверять",
    [MESSAGE_FS_ENCRYPTED] =
        "зашифровано (%t): копируется целиком и не сжимается. На другом оборудовании потребуется ключ "
        "восстановления",
    [MESSAGE_FS_SWAP] = "область подкачки: сохраняется только её заголовок",
    [MESSAGE_FS_SWAP_HIBERNATED] = "в области подкачки — приостановленная система: копируется целиком",
    [MESSAGE_TABLE_BACKUP_BAD] = "%t: резервная таблица разделов (GPT) повреждена; основная исправна и используется",
    [MESSAGE_TABLE_PRIMARY_BAD] = "%t: основная таблица разделов (GPT) повреждена; использована резервная",
    [MESSAGE_TABLE_BACKUP_NOT_AT_END] = "%t: резервная таблица разделов (GPT) — в блоке %0, а не в конце диска (%1)",
    [MESSAGE_TABLE_DAMAGED] = "%t: таблице разделов нельзя доверять (%u); диск рассматривается как диск без таблицы",
    [MESSAGE_TABLE_OVERLAP] = "%t: разделы %0 и %1 перекрываются",
    [MESSAGE_PARTITION_BEYOND_END] = "%t: раздел %0 выходит за конец диска",
    [MESSAGE_SOURCE_MOUNTED] =
        "%t: смонтировано в %u; файлы, которые изменятся во время сохранения, могут оказаться в образе повреждёнными. "
        "Для надёжного образа размонтируйте диск или загрузитесь с флешки Eidolon",
    [MESSAGE_SOURCE_HALF_RESTORED] = "%t: восстановлен не полностью (образ %u), восстановление на него не завершилось",
    [MESSAGE_TARGET_MOUNTED] = "%t: смонтировано в %u; сначала размонтируйте",
    [MESSAGE_TARGET_SMALLER] = "нужно уменьшить разделы: требуется %a (байт: %0), а размер цели — %b (байт: %1)",
    [MESSAGE_SECTOR_SIZE] =
        "образ создан с диска с секторами по %0 байт, а у цели они по %1 байт: файловые системы и таблицы там "
        "не будут найдены",
    [MESSAGE_TARGET_IS_SOURCE] = "источник и цель — один и тот же диск",
    [MESSAGE_TARGET_HOLDS_IMAGE] = "образ находится на самой цели",
    [MESSAGE_TARGET_IS_BOOT_STICK] = "%t — флешка, с которой запущен Eidolon",
    [MESSAGE_TARGET_READ_ONLY] = "%t: защита от записи",
    [MESSAGE_SPACE_SHORT] = "образу может понадобиться %a, а свободно %b",
    [MESSAGE_SPACE_LIKELY_SHORT] = "образ, скорее всего, не поместится: он займёт примерно %a, а свободно %b",
    [MESSAGE_SPACE_NONE] = "образ не поместится: ему нужно не меньше %a, а свободно %b",
    [MESSAGE_UNREADABLE] = "%t: не читается с байта %0, количество байт: %1; сохранены нули",
    [MESSAGE_IMAGE_DAMAGED] = "образ повреждён: потеряны данные диска с байта %0, количество байт: %1",
    [MESSAGE_IMAGE_INCOMPLETE] = "образ неполон: данных диска в нём %a",
    [MESSAGE_NOT_READ_BACK] = "записано, но не проверено обратным чтением",
    [MESSAGE_DISCARD_UNSUPPORTED] =
        "%t: освобождение блоков (TRIM) не поддерживается; незанятые блоки остаются как есть",
    [MESSAGE_DUPLICATE_IDENTITY] = "%t: теперь идентификатор тот же, что у целевого диска; отключите один из этих двух "
                                   "дисков до запуска операционной системы",
    [MESSAGE_PARTITION_ONTO_DISK] =
        "%t: есть таблица разделов, а источник — только один раздел; укажите и раздел цели (#N)",
    [MESSAGE_PARTITION_MOVED] = "%t: начало было в секторе %0, теперь в секторе %1, но в загрузочном секторе "
                                "по-прежнему указано %0; файлы читаются, "
                                "но старый BIOS или Windows может с него не загрузиться",
    [MESSAGE_LAYOUT_GPT_MOVED] = "резервная таблица разделов (GPT) перемещается с байта %0 на байт %1",
    [MESSAGE_GAP_SKIPPED] = "вне разделов, начиная с байта %0, пропускается %b; с --raw это сохраняется",
    [MESSAGE_CONTINUED] = "%t: %a уже на месте и заново не записывается",
    [MESSAGE_CAN_CONTINUE] = "%t: восстановление этого образа было прервано; с --continue уже записанное сохраняется",
    [MESSAGE_NOTHING_TO_CONTINUE] = "%t: прерванного восстановления этого образа здесь нет; уберите --continue",
    [MESSAGE_NO_IMAGE_TO_CONTINUE] = "образа %t ещё нет; без --continue он будет начат",
    [MESSAGE_IMAGE_COMPLETE] = "образ %t полон, продолжать нечего; verify проверит его",
    [MESSAGE_CANNOT_CONTINUE] = "%t: продолжить нельзя (%u); начните заново под другим именем",
    [MESSAGE_CONTINUES_OTHER_DISK] = "%t: это образ другого диска (%u); сохраните этот диск под другим именем",
    [MESSAGE_SOURCE_CHANGED] =
        "%t: со времени прерванного сохранения есть изменения (%u); начните заново под другим именем",
    [MESSAGE_DIFFERS] = "%t: не совпадает с образом с байта %0, количество байт: %1",
    [MESSAGE_FIRMWARE_FALLBACK] = "%t: работает через драйвер прошивки: %u",
    [MESSAGE_DEVICE_RESET] = "%t: не отвечало, выполнен сброс",
    [MESSAGE_DEVICE_GONE] = "%t: устройство отключено",
};

static const char *const operations[OPERATION_COUNT] = {
    [OPERATION_NONE] = "нет",
    [OPERATION_IDENTIFY] = "опознание",
    [OPERATION_READ] = "чтение",
    [OPERATION_WRITE] = "запись",
    [OPERATION_FLUSH] = "сброс кэша на диск",
    [OPERATION_DISCARD] = "освобождение блоков",
    [OPERATION_WRITE_ZEROES] = "запись нулей",
    [OPERATION_RESET] = "сброс устройства",
    [OPERATION_SPIN_UP] = "раскрутка",
    [OPERATION_OPEN] = "открытие",
    [OPERATION_PARSE] = "разбор",
    [OPERATION_VERIFY] = "проверка",
};

const struct language language_russian = {
    .code = "ru",
    .name = "Русский",
    .called = "ru rus",
    .texts = texts,
    .errors = errors,
    .failing_target = "Диск выходит из строя. Выберите другой.",
    .messages = messages,
    .sentence = {.partition = "раздел %1: ",
                 .device = {[SIDE_NONE] = "%1: ",
                            [SIDE_SOURCE] = "источник %1: ",
                            [SIDE_TARGET] = "цель %1: ",
                            [SIDE_IMAGE] = "образ %1: "},
                 .operation = " (%1)",
                 .place = ", позиция %1",
                 .detail = ": %1",
                 .status = " [состояние %1]",
                 .end = ".",
                 .next = " %1"},
    .operations = operations,
};

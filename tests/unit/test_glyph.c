/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The font against the table that it was made of, and cells as pixels in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/test_platform.h"
#include "ui/screen/glyph.h"

#define FONT_FILE "build/sources/unifont/usr/share/unifont/unifont.hex"
#define UNTOUCHED 0xdeadbeefu

static struct test_platform test;
static struct font *font;

static int set_up(void **state)
{
    (void)state;
    test_platform_init(&test);
    font = font_open(&test.platform);
    return font ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    font_close(font);
    test_platform_end(&test);
    return 0;
}

/* A character's line of the table; its bitmap as digits. false: it has none. */
static bool find_digits(uint32_t character, char digits[80])
{
    FILE *file = fopen(FONT_FILE, "r");
    char line[128];
    bool found = false;

    assert_non_null(file);
    while (!found && fgets(line, sizeof(line), file))
        found = strtoul(line, NULL, 16) == character && sscanf(line, "%*x:%79s", digits) == 1;
    fclose(file);
    return found;
}

static bool bit_of(const char *digits, unsigned width, unsigned x, unsigned y)
{
    const unsigned at = y * width + x;
    const char digit[2] = {digits[at / 4], 0};

    return strtoul(digit, NULL, 16) >> (3 - at % 4) & 1;
}

static void test_every_picture_is_the_table_s(void **state)
{
    FILE *file = fopen(FONT_FILE, "r");
    static bool has_one[0x10000];
    char line[128];

    (void)state;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        const uint8_t *halves = NULL;
        char *digits;
        const unsigned character = (unsigned)strtoul(line, &digits, 16);
        const unsigned count = font_glyph(font, character, &halves);
        has_one[character] = true;
        digits[strcspn(digits, "\n")] = 0;
        assert_int_equal(strlen(digits + 1), count * 2 * FONT_HEIGHT);
        for (unsigned y = 0; y < FONT_HEIGHT; y++)
            for (unsigned x = 0; x < count * FONT_WIDTH; x++)
                assert_int_equal(halves[x / FONT_WIDTH * FONT_HEIGHT + y] >> (7 - x % FONT_WIDTH) & 1,
                                 bit_of(digits + 1, count * FONT_WIDTH, x, y));
    }
    fclose(file);
    for (unsigned character = 0; character < 0x10000; character++) {
        const uint8_t *halves;
        if (!has_one[character])
            assert_int_equal(font_glyph(font, character, &halves), 0);
    }
    const uint8_t *halves;
    assert_int_equal(font_glyph(font, 0x10000, &halves), 0);
    assert_int_equal(font_glyph(font, UINT32_MAX, &halves), 0);
}

/* A target that is exactly as large as it says, so that the sanitizer sees the first byte behind it. */
static struct glyph_target new_target(unsigned width, unsigned height)
{
    struct glyph_target target = {
        .pixels = malloc(sizeof(uint32_t) * width * height), .width = width, .height = height, .stride = width};

    assert_non_null(target.pixels);
    for (unsigned i = 0; i < width * height; i++)
        target.pixels[i] = UNTOUCHED;
    return target;
}

static uint32_t pixel(const struct glyph_target *target, unsigned x, unsigned y)
{
    return target->pixels[y * target->stride + x];
}

static void check_picture(uint32_t character, unsigned width, unsigned scale, bool inverse)
{
    const struct cell cells[2] = {{character, STYLE_DANGER, (uint8_t)width}, {0, STYLE_DANGER, 0}};
    const unsigned columns = FONT_WIDTH * width;
    struct glyph_target target = new_target(columns * scale, FONT_HEIGHT * scale);
    const uint32_t fore = glyph_pixel(inverse ? COLOUR_RED : COLOUR_WHITE, PIXEL_BGRX);
    const uint32_t back = glyph_pixel(inverse ? COLOUR_WHITE : COLOUR_RED, PIXEL_BGRX);
    char digits[80];

    assert_true(find_digits(character, digits));
    glyph_draw(font, &target, 0, 0, scale, cells, width, inverse);
    for (unsigned y = 0; y < target.height; y++)
        for (unsigned x = 0; x < target.width; x++)
            assert_int_equal(pixel(&target, x, y), bit_of(digits, columns, x / scale, y / scale) ? fore : back);
    free(target.pixels);
}

static void test_pictures_at_scales(void **state)
{
    (void)state;
    for (unsigned scale = 1; scale <= 4; scale++) {
        check_picture('A', 1, scale, false);
        check_picture(0x2502, 1, scale, false);
        check_picture(0x0416, 1, scale, true);
        check_picture(0x4e2d, 2, scale, false);
        check_picture(0xd55c, 2, scale, true);
    }
    check_picture('g', 1, GLYPH_SCALE_MAX, false);
    check_picture(0x4e2d, 2, GLYPH_SCALE_MAX, false);
}

static unsigned count_fore(const struct glyph_target *target, unsigned from_x, unsigned to_x)
{
    unsigned count = 0;

    for (unsigned y = 0; y < target->height; y++)
        for (unsigned x = from_x; x < to_x; x++) {
            assert_int_not_equal(pixel(target, x, y), UNTOUCHED);
            count += pixel(target, x, y) == glyph_pixel(COLOUR_LIGHT_GRAY, target->order);
        }
    return count;
}

/* A wide picture where one cell is all the room; a narrow one in two; none at all. */
static void test_pictures_of_another_width(void **state)
{
    const struct cell squeezed = {0x4e2d, STYLE_TEXT, 1}, missing = {0xd800, STYLE_TEXT, 1};
    const struct cell stretched[2] = {{'A', STYLE_TEXT, 2}, {0, STYLE_TEXT, 0}};
    struct glyph_target target = new_target(16, 32), wide = new_target(16, 16), box = new_target(8, 16);

    (void)state;
    glyph_draw(font, &target, 0, 0, 2, &squeezed, 1, false);
    char digits[80];
    assert_true(find_digits(0x4e2d, digits));
    for (unsigned y = 0; y < 32; y++) /* all of its columns, each a pixel wide */
        for (unsigned x = 0; x < 16; x++)
            assert_int_equal(pixel(&target, x, y) == glyph_pixel(COLOUR_LIGHT_GRAY, PIXEL_BGRX),
                             bit_of(digits, 16, x, y / 2));
    glyph_draw(font, &wide, 0, 0, 1, stretched, 2, false);
    assert_int_equal(count_fore(&wide, 0, 4) + count_fore(&wide, 12, 16), 0);
    assert_true(count_fore(&wide, 4, 12) > 10);
    glyph_draw(font, &box, 0, 0, 1, &missing, 1, false);
    assert_int_equal(pixel(&box, 1, 2), pixel(&box, 6, 13));
    assert_int_equal(pixel(&box, 1, 2), glyph_pixel(COLOUR_LIGHT_GRAY, PIXEL_BGRX));
    assert_int_equal(pixel(&box, 3, 7), glyph_pixel(COLOUR_BLACK, PIXEL_BGRX));
    assert_int_equal(count_fore(&box, 0, 8), 2 * 6 + 10 * 2);
    free(target.pixels);
    free(wide.pixels);
    free(box.pixels);
}

/* Whatever the corner and the number of cells: the part that lies inside is the same as on a large target, nothing else changes. */
static void test_edges(void **state)
{
    const struct cell cells[5] = {
        {'A', STYLE_TEXT, 1}, {0x4e2d, STYLE_BAR, 2}, {0, STYLE_BAR, 0}, {'B', STYLE_GOOD, 1}, {'C', STYLE_TEXT, 1}};
    struct glyph_target large = new_target(200, 100);

    (void)state;
    for (unsigned scale = 1; scale <= 3; scale++) {
        for (unsigned i = 0; i < 200 * 100; i++)
            large.pixels[i] = UNTOUCHED;
        glyph_draw(font, &large, 5, 3, scale, cells, 5, false);
        for (unsigned width = 1; width < 130; width += 7) {
            for (unsigned height = 1; height < 60; height += 5) {
                struct glyph_target small = new_target(width, height);
                glyph_draw(font, &small, 5, 3, scale, cells, 5, false);
                for (unsigned y = 0; y < height; y++)
                    for (unsigned x = 0; x < width; x++)
                        assert_int_equal(pixel(&small, x, y), pixel(&large, x, y));
                free(small.pixels);
            }
        }
        assert_int_equal(pixel(&large, 4, 3), UNTOUCHED);
        assert_int_equal(pixel(&large, 5, 2), UNTOUCHED);
        assert_int_equal(pixel(&large, 5 + 40 * scale, 3), UNTOUCHED);
        assert_int_equal(pixel(&large, 5, 3 + 16 * scale), UNTOUCHED);
    }
    free(large.pixels);
}

/* --- lines and blocks --- */

enum side { SIDE_LEFT, SIDE_RIGHT, SIDE_TOP, SIDE_BOTTOM };

/* The pixels at one edge of a cell, as bits. */
static unsigned edge(uint32_t character, enum side side)
{
    const uint8_t *halves;
    unsigned bits = 0;

    assert_int_equal(font_glyph(font, character, &halves), 1);
    if (side == SIDE_TOP || side == SIDE_BOTTOM)
        return halves[side == SIDE_TOP ? 0 : FONT_HEIGHT - 1];
    for (unsigned row = 0; row < FONT_HEIGHT; row++)
        bits |= (halves[row] >> (side == SIDE_LEFT ? 7 : 0) & 1u) << row;
    return bits;
}

/* Horizontal, vertical; corners with lines right and down, left and down, right and up, left and up; tees; the cross. */
static void check_joins(const uint16_t set[11])
{
    const uint16_t horizontal = set[0], vertical = set[1];
    const uint16_t rightward[] = {set[2], set[4], set[6], set[8], set[9], set[10]};
    const uint16_t leftward[] = {set[3], set[5], set[7], set[8], set[9], set[10]};
    const uint16_t downward[] = {set[2], set[3], set[6], set[7], set[8], set[10]};
    const uint16_t upward[] = {set[4], set[5], set[6], set[7], set[9], set[10]};

    assert_int_not_equal(edge(horizontal, SIDE_LEFT), 0);
    assert_int_not_equal(edge(vertical, SIDE_TOP), 0);
    assert_int_equal(edge(horizontal, SIDE_LEFT), edge(horizontal, SIDE_RIGHT));
    assert_int_equal(edge(vertical, SIDE_TOP), edge(vertical, SIDE_BOTTOM));
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(edge(rightward[i], SIDE_RIGHT), edge(horizontal, SIDE_LEFT));
        assert_int_equal(edge(leftward[i], SIDE_LEFT), edge(horizontal, SIDE_RIGHT));
        assert_int_equal(edge(downward[i], SIDE_BOTTOM), edge(vertical, SIDE_TOP));
        assert_int_equal(edge(upward[i], SIDE_TOP), edge(vertical, SIDE_BOTTOM));
    }
}

static void test_lines_join(void **state)
{
    (void)state;
    check_joins(
        (const uint16_t[]){0x2500, 0x2502, 0x250c, 0x2510, 0x2514, 0x2518, 0x251c, 0x2524, 0x252c, 0x2534, 0x253c});
    check_joins(
        (const uint16_t[]){0x2501, 0x2503, 0x250f, 0x2513, 0x2517, 0x251b, 0x2523, 0x252b, 0x2533, 0x253b, 0x254b});
    check_joins(
        (const uint16_t[]){0x2550, 0x2551, 0x2554, 0x2557, 0x255a, 0x255d, 0x2560, 0x2563, 0x2566, 0x2569, 0x256c});
    /* Blocks fill their share of the cell to its edges. */
    assert_int_equal(edge(0x2588, SIDE_LEFT), 0xffff);
    assert_int_equal(edge(0x2588, SIDE_TOP), 0xff);
    assert_int_equal(edge(0x2584, SIDE_LEFT), 0xff00);
    assert_int_equal(edge(0x2580, SIDE_RIGHT), 0x00ff);
    assert_int_equal(edge(0x258c, SIDE_TOP), 0xf0);
    assert_int_equal(edge(0x2590, SIDE_BOTTOM), 0x0f);
}

/* --- panels --- */

static void check_layout(unsigned width, unsigned height, unsigned scale, unsigned columns, unsigned rows)
{
    const struct glyph_grid grid = glyph_layout(width, height, SCREEN_COLUMNS_MAX, SCREEN_ROWS_MAX);
    const unsigned right = width - grid.left - grid.columns * FONT_WIDTH * grid.scale;
    const unsigned bottom = height - grid.top - grid.rows * FONT_HEIGHT * grid.scale;

    assert_int_equal(grid.scale, scale);
    assert_int_equal(grid.columns, columns);
    assert_int_equal(grid.rows, rows);
    assert_true(right >= grid.left && right - grid.left <= 1);
    assert_true(bottom >= grid.top && bottom - grid.top <= 1);
}

static void test_layout_of_panels(void **state)
{
    (void)state;
    check_layout(640, 480, 1, 80, 30);
    check_layout(800, 600, 1, 100, 37);
    check_layout(1024, 768, 1, 128, 48);
    check_layout(1280, 720, 1, 132, 45);
    check_layout(1280, 800, 2, 80, 25);
    check_layout(1280, 1024, 2, 80, 32);
    check_layout(1366, 768, 1, 132, 48);
    check_layout(1920, 1080, 2, 120, 33);
    check_layout(2560, 1440, 3, 106, 30);
    check_layout(3840, 2160, 4, 120, 33);
    check_layout(7680, 4320, 9, 106, 30);
    check_layout(800, 1280, 1, 100, 50);
    check_layout(320, 200, 1, 40, 12); /* too small; who asked sees it */
    check_layout(0, 0, 1, 0, 0);
    /* Beside a terminal of 80 x 25 more cells are of no use: larger ones. */
    struct glyph_grid grid = glyph_layout(3840, 2160, 80, 25);
    assert_int_equal(grid.scale, 5);
    assert_int_equal(grid.columns, 80);
    assert_int_equal(grid.rows, 25);
    assert_int_equal(grid.left, (3840 - 80 * 40) / 2);
    assert_int_equal(grid.top, (2160 - 25 * 80) / 2);
}

/* --- colours --- */

/* To the power of 2.4, by Newton's method for the fifth root. */
static double power(double base)
{
    double root = 1;

    for (unsigned i = 0; i < 50; i++)
        root = (4 * root + base / (root * root * root * root)) / 5;
    return base * base * root * root;
}

static double luminance(enum colour colour)
{
    const uint32_t value = glyph_pixel(colour, PIXEL_BGRX);
    const unsigned parts[] = {value >> 16 & 255, value >> 8 & 255, value & 255};
    const double weights[] = {0.2126, 0.7152, 0.0722};
    double sum = 0;

    for (unsigned i = 0; i < 3; i++) {
        double part = parts[i] / 255.0;
        sum += weights[i] * (part <= 0.04045 ? part / 12.92 : power((part + 0.055) / 1.055));
    }
    return sum;
}

/* WCAG 2.1, success criterion 1.4.3. */
static void test_styles_can_be_read(void **state)
{
    (void)state;
    for (unsigned style = 0; style < STYLE_COUNT; style++) {
        double a = luminance(style_foreground((enum style)style)), b = luminance(style_background((enum style)style));
        double ratio = a > b ? (a + 0.05) / (b + 0.05) : (b + 0.05) / (a + 0.05);
        if (ratio < 4.5)
            fail_msg("style %u has a contrast of %.2f", style, ratio);
    }
}

static void test_pixel_orders(void **state)
{
    (void)state;
    for (unsigned colour = 0; colour < 16; colour++) {
        const uint32_t bgr = glyph_pixel((enum colour)colour, PIXEL_BGRX);
        const uint32_t rgb = glyph_pixel((enum colour)colour, PIXEL_RGBX);
        assert_int_equal(bgr >> 16 & 255, rgb & 255);
        assert_int_equal(bgr >> 8 & 255, rgb >> 8 & 255);
        assert_int_equal(bgr & 255, rgb >> 16 & 255);
        for (unsigned other = 0; other < colour; other++)
            assert_int_not_equal(bgr, glyph_pixel((enum colour)other, PIXEL_BGRX));
    }
    /* Red is red. */
    assert_true((glyph_pixel(COLOUR_RED, PIXEL_BGRX) >> 16 & 255) > 2 * (glyph_pixel(COLOUR_RED, PIXEL_BGRX) & 255));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_picture_is_the_table_s),
        cmocka_unit_test(test_pictures_at_scales),
        cmocka_unit_test(test_pictures_of_another_width),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_lines_join),
        cmocka_unit_test(test_layout_of_panels),
        cmocka_unit_test(test_styles_can_be_read),
        cmocka_unit_test(test_pixel_orders),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

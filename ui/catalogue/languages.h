/* SPDX-License-Identifier: GPL-2.0-or-later */
/* LANGUAGE(the name behind language_ in its file): in the order in which they are offered, English first. */
LANGUAGE(english)
LANGUAGE(chinese)
LANGUAGE(korean)
LANGUAGE(russian)

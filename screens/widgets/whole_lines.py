"""Finished lines of widgets that draw all of each line themselves.

Textual asks every widget in sight for all of its lines whenever anything is painted, be it a cursor
that went down by one line. What it can add to a line (border, padding, tint) these widgets do not
have, and to find that out again for each of them is much of what such a paint costs.
"""

from __future__ import annotations

from textual._styles_cache import StylesCache
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class WholeLines(StylesCache):
    """The finished lines of a widget; one with a style of its own is left to Textual."""

    def __init__(self) -> None:
        super().__init__()
        self._plain = False

    def render_widget(self, widget: Widget, crop: Region) -> list[Strip]:
        """The lines of a region of the widget, those drawn again that are not as they were."""
        width = widget.region.width
        if width != self._width:
            self.clear()
            self._width = width
        lines, dirty = self._cache, self._dirty_lines
        due = [y for y in crop.line_range if y in dirty or y not in lines]
        if due or not self._plain:
            if self._plain != _is_plain(widget):
                self._plain = not self._plain
                self.clear()
                due = [*crop.line_range]
            if not self._plain:
                return super().render_widget(widget, crop)
            filters, background = widget.get_line_filters(), widget.background_colors[1]
            for y in due:
                strip = widget.render_line(y).adjust_cell_length(width)
                for one in filters:
                    strip = strip.apply_filter(one, background)
                lines[y] = strip
            dirty.difference_update(due)
        strips = [lines[y] for y in crop.line_range]
        if crop.column_span != (0, width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips


def _is_plain(widget: Widget) -> bool:
    styles = widget.styles
    return (
        not any(styles.gutter)
        and not any(edge for edge, _ in styles.outline)
        and not styles.tint.a
        and styles.text_opacity == 1.0
        and not styles.has_rule("hatch")
        and widget.opacity == 1.0
    )

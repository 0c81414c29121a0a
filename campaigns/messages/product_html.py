"""The HTML of products in a message: a list with small pictures, or a grid of two or three columns.

A product without a picture has its first letter in place of it, if another one of the list has a picture.
"""

from typing import Final

_NAME: Final = "{{ product.name | default: product.sku }}"
_LETTER: Final = "{{ product.name | default: product.sku | slice: 0 | upcase }}"
_URL: Final = "{{ product.url | default: shop.url }}"
_PRICE: Final = '{% if product.price %}<br><span class="price">{{ product.price | money }}</span>{% endif %}'


def list_html(source: str, limit: int, button: str) -> str:
    """Return the template of a list; ``button`` is HTML."""
    picture = _picture(
        f'<a href="{_URL}"><img src="{{{{ product.image }}}}" width="88" alt="{_NAME}"></a>',
        f'<span class="no-picture" aria-hidden="true">{_LETTER}</span>',
    )
    first = f'{{% if has_pictures %}}<td class="product-picture">{picture}</td>{{% endif %}}'
    link = f'<a class="product-link" href="{_URL}"><span class="product-name">{_NAME}</span></a>'
    row = f"<tr>{first}<td>{link}{_PRICE}{_button(button)}</td></tr>"
    return (
        _notice_pictures(source, limit)
        + f'<table role="presentation" class="product">\n{_loop(source, limit, row)}\n</table>'
    )


def grid_html(source: str, limit: int, button: str, columns: int) -> str:
    """Return the template of a grid; ``button`` is HTML. On a phone, it has two columns.

    Cards flow into rows by themselves. Outlook gets a table.
    """
    width = f"{100 / columns:.2f}".rstrip("0").rstrip(".") + "%"
    picture = _picture(
        f'<img src="{{{{ product.image }}}}" width="{536 // columns - 16}" alt="">',
        f'<span class="no-picture" aria-hidden="true">{_LETTER}</span>',
    )
    name = f'{picture}<span class="product-name">{_NAME}</span>'
    card = (
        f'<div class="card" style="width:{width}"><div class="card-inside">'
        f'<a class="product-link" href="{_URL}">{name}</a>{_PRICE}{_button(button)}</div></div>'
    )
    later_rows = ", ".join(str(number) for number in range(columns + 1, limit + 1, columns))
    new_row = (
        f"{{% case forloop.index %}}{{% when {later_rows} %}}{_outlook('</tr><tr>')}{{% endcase %}}"
        if later_rows
        else ""
    )
    cell = f'{new_row}{_outlook(f"""<td width="{width}" valign="top">""")}{card}{_outlook("</td>")}'
    cards = _loop(source, limit, cell)
    table, end = _outlook('<table role="presentation" width="100%"><tr>'), _outlook("</tr></table>")
    return _notice_pictures(source, limit) + f'<div class="grid grid-{columns}">{table}\n{cards}\n{end}</div>'


def _loop(source: str, limit: int, item: str) -> str:
    return f"{{% for product in {source} limit: {limit} %}}\n{item}\n{{% endfor %}}"


def _notice_pictures(source: str, limit: int) -> str:
    look = "{% if product.image %}{% assign has_pictures = true %}{% endif %}"
    return f"{{% assign has_pictures = false %}}\n{_loop(source, limit, look)}\n"


def _picture(picture: str, replacement: str) -> str:
    return f"{{% if product.image %}}{picture}{{% elsif has_pictures %}}{replacement}{{% endif %}}"


def _button(words: str) -> str:
    return f'<br><a class="product-button" href="{_URL}">{words}</a>' if words else ""


def _outlook(html: str) -> str:
    return f"<!--[if mso]>{html}<![endif]-->"

"""The catalogue of the sample shop: two hundred made-up products, offers, countries and names."""

import json
import unicodedata
from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from random import Random
from typing import Any, NamedTuple

as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A product. There is one object of each. `price` is in cents."""

    number: int
    sku: str
    name: str
    category: str
    brand: str
    price: int

    def properties(self, currency: str, quantity: int = 1) -> dict[str, Any]:
        """Return the properties of the product in Segment's e-commerce events."""
        return {
            "product_id": f"p{self.number:03d}",
            "sku": self.sku,
            "name": self.name,
            "category": self.category,
            "brand": self.brand,
            "price": self.price / 100,
            "url": f"/products/{self.sku}",  # relative to the shop
            "quantity": quantity,
            "currency": currency,
        }

    @cache  # noqa: B019  (bounded: a few quantities of two hundred products that live as long as the module)
    def properties_json(self, currency: str, quantity: int = 1) -> str:
        """Return the same as JSON, cached."""
        return as_json(self.properties(currency, quantity))


@dataclass(frozen=True, slots=True)
class Order:
    """An order: quantities by product, time in seconds since 1970, amounts in cents."""

    order_id: str
    placed_at: int
    status: str
    lines: dict[Product, int]
    coupon: str
    discount: int
    shipping: int
    total: int
    refunded: int

    def properties(self, currency: str) -> dict[str, Any]:
        """Return the properties of Segment's `Order Completed`."""
        return {
            "order_id": self.order_id,
            "total": self.total / 100,
            "discount": self.discount / 100,
            "shipping": self.shipping / 100,
            "coupon": self.coupon or None,
            "currency": currency,
            "products": [product.properties(currency, quantity) for product, quantity in self.lines.items()],
        }


class Offer(NamedTuple):
    """A discount in percent, with or without a coupon code, in some months or in all."""

    coupon: str
    percent: int
    months: Sequence[int] = range(1, 13)


NO_OFFER = Offer("", 0)
WELCOME = Offer("WELCOME10", 10)
OFFERS = (
    Offer("BLACKWEEKS20", 20, (11,)),
    Offer("SUMMER15", 15, (6, 7, 8)),
    Offer("", 25, (1, 7)),
    Offer("THANKYOU5", 5),
    Offer("FREESHIP", 0),
)

# Each category has five kinds of things with a usual price, each kind five models.
CATEGORIES = {
    "Shoes": {"Sneaker": 89, "Hiking Boot": 149, "Sandal": 59, "Trail Runner": 119, "Slipper": 39},
    "Jackets": {"Rain Jacket": 129, "Down Jacket": 199, "Fleece": 79, "Windbreaker": 89, "Parka": 229},
    "Tops": {"T-Shirt": 29, "Merino Shirt": 69, "Hoodie": 65, "Blouse": 55, "Cardigan": 79},
    "Trousers": {"Jeans": 89, "Trekking Trousers": 99, "Shorts": 45, "Leggings": 49, "Chinos": 75},
    "Bags": {"Backpack": 99, "Tote Bag": 35, "Duffel": 85, "Belt Bag": 32, "Laptop Sleeve": 39},
    "Accessories": {"Beanie": 25, "Scarf": 39, "Gloves": 35, "Belt": 42, "Sunglasses": 95},
    "Outdoor": {"Tent": 289, "Sleeping Bag": 159, "Headlamp": 45, "Bottle": 27, "Camping Stove": 69},
    "Home": {"Blanket": 59, "Enamel Mug": 15, "Candle": 19, "Cushion": 34, "Lantern": 49},
}
BRANDS = ("Nordlicht", "Åsvik", "Petit Pas", "Kestrel", "Marée", "Zwölfender", "Lumi", "Tramontane", "Gust")
MODELS = (
    "Alma", "Fjell", "Bruma", "Lys", "Corvo", "Døgn", "Erle", "Föhn", "Ginster", "Halde", "Iris", "Juno",
    "Kiesel", "Loire", "Mistral", "Névé", "Odin", "Priel", "Quarz", "Rå", "Solano", "Tarn", "Ulme", "Vega",
    "Wolke",
)  # fmt: skip
PRICE_STEPS = (0.75, 0.9, 1.0, 1.25, 1.6)
QUANTITIES = (0.86, 0.96)  # share of lines with one piece, and with up to two; else three

TITLES = {"/": "Home", "/new": "New in", "/sale": "Sale", "/journal": "Journal", "/size-guide": "Size guide"}
TITLES |= {f"/c/{name.lower()}": name for name in CATEGORIES}
PAGES = [as_json({"path": path, "title": title}) for path, title in TITLES.items()]


class Region(NamedTuple):
    """A country with its weight. Phone numbers only where some are reserved for fiction (# is a digit)."""

    country: str
    weight: int
    language: str
    cities: str
    phones: str = ""


REGIONS = (
    Region(
        "DE", 36, "de", "Berlin Hamburg München Köln Düsseldorf", "+493023125### +494066969### +498999998###"
    ),
    Region("FR", 15, "fr", "Paris Lyon Nîmes Orléans Besançon", "+3319900#### +33639980###"),
    Region("NL", 11, "nl", "Amsterdam Utrecht 's-Hertogenbosch Eindhoven"),
    Region("AT", 8, "de", "Wien Graz Mödling Innsbruck"),
    Region("GB", 10, "en", "London Leeds Bristol Edinburgh", "+442079460### +447700900###"),
    Region("US", 8, "en", "Chicago Portland Austin Seattle", "+121255501## +150355501##"),
    Region("SE", 5, "sv", "Stockholm Malmö Göteborg Umeå", "+468465004## +463139006##"),
    Region("ES", 4, "es", "Madrid Málaga Cádiz Sevilla"),
    Region("CH", 3, "de", "Zürich Genève Bern Neuchâtel"),
)
FIRST_NAMES = {
    "de": "Anna Jürgen Lena Max Sören Käthe Paul Mia Jonas Björn",
    "fr": "Zoé Léa Hugo François Camille Jérôme Inès Louis",
    "nl": "Sanne Daan Fleur Bram Noël Lotte Joost Zoë",
    "en": "Olivia Jack Grace Noah Chloë Henry Emma Liam",
    "sv": "Åsa Göran Elin Märta Lars Astrid Nils",
    "es": "Lucía José Sofía Íñigo Carmen Andrés",
}
LAST_NAMES = {
    "de": "Müller Weiß Schmidt Köhler Groß Vogel Jäger Becker",
    "fr": "Martin Lefèvre Dubois Garçon Moreau Bénard",
    "nl": "Bakker Visser Smit Mulder Dekker Kuijpers",
    "en": "Smith Taylor O'Brien Walker Brontë Clark",
    "sv": "Andersson Sjöberg Åkesson Lindström Nyström",
    "es": "García Muñoz Núñez Pérez Ibáñez",
}


def _products() -> tuple[Product, ...]:
    kinds = [(category, *kind) for category, kinds in CATEGORIES.items() for kind in kinds.items()]
    products: list[Product] = []
    for place, (category, noun, price) in enumerate(kinds):
        for model, step in enumerate(PRICE_STEPS):
            number = len(products) + 1
            products.append(
                Product(
                    number=number,
                    sku=f"{category[:3].upper()}-{number:03d}",
                    name=f"{MODELS[number % len(MODELS)]} {noun}",
                    category=category,
                    brand=BRANDS[(place + 2 * model) % len(BRANDS)],
                    price=int(price * step) * 100 + (95 if price < 50 else 90),
                )
            )
    return tuple(products)


PRODUCTS = _products()
_BY_CATEGORY = {name: tuple(p for p in PRODUCTS if p.category == name) for name in CATEGORIES}
# Demand falls with the rank as in Zipf's law; 73 shares no factor with 200 and spreads the ranks.
_DEMAND = {product: 1 / (product.number * 73 % len(PRODUCTS) + 4) for product in PRODUCTS}
_SHELVES = {
    name: (products, tuple(accumulate(_DEMAND[product] for product in products)))
    for name, products in {"": PRODUCTS, **_BY_CATEGORY}.items()
}


def pick_product(random: Random, favourite: str) -> Product:
    """Draw a product by demand, half of the time from the favourite category."""
    products, cumulative = _SHELVES[favourite if random.random() < 0.5 else ""]
    return products[bisect(cumulative, random.random() * cumulative[-1])]


def fill_basket(random: Random, favourite: str) -> dict[Product, int]:
    """Draw one to six products with their quantities, mostly 1."""
    count = min(1 + int(random.expovariate(1)), 6)
    return {pick_product(random, favourite): bisect(QUANTITIES, random.random()) + 1 for _ in range(count)}


def ascii_name(name: str) -> str:
    """Return a name as in an e-mail address."""
    plain = unicodedata.normalize("NFKD", name.lower().replace("ß", "ss")).encode("ascii", "ignore").decode()
    return plain.replace("'", "")

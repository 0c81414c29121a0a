"""The fields that columns can become: what staff call them, what they hold, and what files call them.

Names are those of exports and of people's own tables in English, French, Italian, Spanish and German. They are
compared without case, accents and signs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .notations import plain_word


class Content(Enum):
    """What the values of a field are, which decides how they are converted."""

    TEXT = "text"
    ID = "id"
    EMAIL = "e-mail address"
    PHONE = "phone number"
    AMOUNT = "amount"
    MOMENT = "date or time"
    BIRTH_DATE = "date"
    CONSENT = "yes or no"
    STATUS = "status"


@dataclass(frozen=True)
class Field:
    """A field, with the names of columns that become it."""

    name: str
    label: str
    content: Content
    names: frozenset[str]


def _field(name: str, label: str, content: Content, names: str) -> Field:
    """Declare a field; its names are separated by commas."""
    return Field(name, label, content, frozenset(map(plain_word, (name, label, *names.split(",")))))


_CUSTOMER_ID: Final = _field(
    "customer_id",
    "Customer’s id",
    Content.ID,
    "customer number,customer no,customer nr,customer #,customer code,client id,user id,id customer,contact id,"
    "profile id,"
    "id client,numéro client,no client,n° client,code client,réf client,identifiant client,"
    "id cliente,codice cliente,numero cliente,n. cliente,cod cliente,"
    "número de cliente,código de cliente,cód. cliente,"
    "kundennummer,kundennr,kunden nr,kundennr.,kunden-id,kunde id,debitorennummer",
)
_EMAIL: Final = _field(
    "email",
    "E-mail address",
    Content.EMAIL,
    "e-mail,mail,email address,customer email,contact email,billing email,email (billing),"
    "adresse e-mail,adresse mail,adresse email,courriel,adresse électronique,mél,email client,e-mail du client,"
    "indirizzo email,indirizzo e-mail,posta elettronica,email cliente,"
    "e-mail del cliente,indirizzo di posta elettronica,"
    "correo,correo electrónico,email del cliente,dirección de correo electrónico,dirección de correo,"
    "e-mail-adresse,emailadresse,mailadresse,kunden-email",
)
_PHONE: Final = _field(
    "phone",
    "Phone number",
    Content.PHONE,
    "telephone,tel,mobile,mobile phone,cell,cell phone,phone no,billing phone,phone (billing),customer phone,"
    "téléphone,numéro de téléphone,portable,tél portable,mobile client,"
    "telefono,numero di telefono,cellulare,numero cellulare,tel.,"
    "teléfono,número de teléfono,móvil,teléfono móvil,"
    "telefon,telefonnummer,handy,handynummer,mobilnummer,mobiltelefon,rufnummer",
)
_FULL_NAME: Final = _field(
    "full_name",
    "First and last name",
    Content.TEXT,
    "customer name,client name,contact name,name of customer,billing name,bill-to name,customer,"
    "nom complet,prénom et nom,prénom nom,nom du client,client,"
    "nome completo,nome e cognome,nome cognome,nominativo,nome cliente,ragione sociale,cliente,"
    "nombre completo,nombre y apellidos,nombre y apellido,nombre del cliente,"
    "vollständiger name,vor- und nachname,kundenname,name des kunden,kunde",
)
_LAST_FIRST_NAME: Final = _field(
    "last_first_name",
    "Last and first name",
    Content.TEXT,
    "last name first name,surname name,surname and name,"
    "nom et prénom,nom prénom,nom & prénom,nom et prénoms,"
    "cognome e nome,cognome nome,apellidos y nombre,apellidos nombre,apellido y nombre,"
    "nachname vorname,name vorname,familienname vorname,zuname vorname,nach- und vorname,name und vorname",
)
_FIRST_NAME: Final = _field(
    "first_name",
    "First name",
    Content.TEXT,
    "firstname,given name,forename,billing first name,first name (billing),fname,"
    "prénom,prenom client,nome proprio,nome di battesimo,nombre de pila,vorname",
)
_LAST_NAME: Final = _field(
    "last_name",
    "Last name",
    Content.TEXT,
    "lastname,surname,family name,billing last name,last name (billing),lname,"
    "nom de famille,cognome,apellido,apellidos,nachname,familienname,zuname",
)
_COUNTRY: Final = _field(
    "country",
    "Country",
    Content.TEXT,
    "country code,country / region,billing country,country code (billing),country id,cc,"
    "pays,code pays,paese,nazione,stato (paese),codice paese,país,código de país,land,ländercode,länderkürzel",
)
_CITY: Final = _field(
    "city",
    "City",
    Content.TEXT,
    "town,billing city,"
    "city (billing),ville,città,comune,localité,località,ciudad,población,localidad,stadt,ort,wohnort",
)
_LANGUAGE: Final = _field("language", "Language", Content.TEXT, "lang,locale,langue,lingua,idioma,sprache")
_BIRTH_DATE: Final = _field(
    "birth_date",
    "Date of birth",
    Content.BIRTH_DATE,
    "birthday,birthdate,dob,date de naissance,naissance,anniversaire,data di nascita,nascita,compleanno,"
    "fecha de nacimiento,nacimiento,cumpleaños,geburtsdatum,geburtstag,geboren,geboren am",
)
_NEWSLETTER: Final = _field(
    "newsletter",
    "Newsletter: yes, no or never asked",
    Content.CONSENT,
    "subscribed,subscription,subscriber,newsletter subscription,"
    "newsletter status,email marketing consent,email consent,"
    "news.,opt-in,optin,consent,marketing consent,subscription status,newsletter subscriber,"
    "abonné,abonné newsletter,inscrit newsletter,inscription newsletter,lettre d'information,abonnement newsletter,"
    "consentement,iscritto,iscritto newsletter,iscritto alla newsletter,iscrizione newsletter,consenso,"
    "consenso marketing,consenso newsletter,suscrito,suscrito al boletín,boletín,suscripción,boletín de noticias,"
    "consentimiento,abonniert,newsletter abonniert,newsletter-anmeldung,newsletterabo,einwilligung,newsletter-status",
)
_ACCEPTS_NEWSLETTER: Final = _field(
    "accepts_newsletter",
    "Newsletter: yes, or perhaps never asked",
    Content.CONSENT,
    "accepts marketing,accepts email marketing,marketing accepted",
)
_SUBSCRIBED_AT: Final = _field(
    "subscribed_at",
    "Subscribed to the newsletter on",
    Content.MOMENT,
    "subscription date,subscribed on,opt-in date,optin date,date d'inscription newsletter,date d'abonnement,"
    "data iscrizione newsletter,data consenso,fecha de suscripción,anmeldedatum newsletter,einwilligung am",
)
_CONFIRMED_AT: Final = _field(
    "confirmed_at", "Confirmed the newsletter on: counts as yes", Content.MOMENT, "confirm time"
)
_UNSUBSCRIBED_AT: Final = _field(
    "unsubscribed_at",
    "Unsubscribed or bounced on: counts as no",
    Content.MOMENT,
    "unsub time,clean time,unsubscribed on,unsubscription date,date de désinscription,data disiscrizione,"
    "data cancellazione newsletter,fecha de baja,abmeldedatum,abgemeldet am",
)
_FIRST_SEEN: Final = _field(
    "first_seen",
    "Customer since",
    Content.MOMENT,
    "registration,registration date,registered,registered on,sign up,signup date,customer since,created,created at,"
    "created on,date created,profile created on,date added,member since,date registered,"
    "inscription,date d'inscription,date de création,client depuis,créé le,date inscription,"
    "registrazione,data registrazione,data di registrazione,iscrizione,data iscrizione,data creazione,cliente dal,"
    "registro,fecha de registro,fecha de alta,alta,fecha de creación,cliente desde,"
    "registrierung,registriert am,registrierungsdatum,angelegt am,erstellt am,kunde seit",
)
_SOURCE: Final = _field(
    "source",
    "Source",
    Content.TEXT,
    "initial source,origin,referrer,traffic source,origine,provenance,provenienza,fonte,origen,fuente,quelle,herkunft",
)
_TAGS: Final = _field(
    "tags", "Tags: a list", Content.TEXT, "tag,étiquettes,etichette,etiquetas,schlagwörter,labels"
)
_ORDER_ID: Final = _field(
    "order_id",
    "Order’s number",
    Content.ID,
    "order,order number,order no,order nr,order #,order id,order reference,reference,id order,increment id,"
    "commande,numéro de commande,n° commande,no commande,référence,référence commande,id commande,num commande,"
    "ordine,numero ordine,n. ordine,n° ordine,id ordine,riferimento,riferimento ordine,codice ordine,nr ordine,"
    "pedido,número de pedido,nº pedido,n.º de pedido,id pedido,referencia,ref. pedido,"
    "bestellung,bestellnummer,bestellnr,bestell-nr.,auftragsnummer,auftragsnr,auftrag,bestell-id,belegnummer",
)
_PLACED_AT: Final = _field(
    "placed_at",
    "Ordered on",
    Content.MOMENT,
    "date,order date,ordered at,ordered on,purchase date,date placed,created at,created,date created,date add,paid at,"
    "order time,datetime,"
    "date de commande,date commande,date d'achat,passée le,date de la commande,"
    "data,data ordine,data dell'ordine,data acquisto,ordinato il,data e ora,"
    "fecha,fecha de pedido,fecha del pedido,fecha pedido,fecha de compra,"
    "datum,bestelldatum,bestellt am,auftragsdatum,kaufdatum,belegdatum",
)
_STATUS: Final = _field(
    "status",
    "Order’s status",
    Content.STATUS,
    "order status,state,payment status,financial status,current state,"
    "statut,état,état de la commande,statut de la commande,stato,stato ordine,stato dell'ordine,"
    "estado,estado del pedido,bestellstatus,auftragsstatus,status der bestellung,zustand",
)
_TOTAL: Final = _field(
    "total",
    "Total",
    Content.AMOUNT,
    "order total,grand total,total amount,amount,total price,total paid,order total amount,grand total (purchased),"
    "order amount,revenue,total incl. tax,total paid tax incl,"
    "montant,montant total,total ttc,total commande,montant ttc,total de la commande,total payé,"
    "totale,importo,totale ordine,importo totale,totale iva inclusa,totale pagato,totale documento,"
    "importe,importe total,total pedido,total pagado,total con iva,total del pedido,"
    "betrag,gesamtbetrag,gesamt,summe,gesamtsumme,bestellsumme,bruttobetrag,gesamtpreis,rechnungsbetrag",
)
_DISCOUNT: Final = _field(
    "discount_total",
    "Discount",
    Content.AMOUNT,
    "discount,total discount,discount amount,discount total,cart discount,total discounts,cart discount amount,"
    "remise,réduction,montant remise,remise totale,sconto,totale sconto,importo sconto,descuento,total descuento,"
    "rabatt,rabattbetrag,nachlass",
)
_REFUNDED: Final = _field(
    "refunded_total",
    "Refunded amount",
    Content.AMOUNT,
    "refunded,refund,refunded amount,refund amount,total refunded,order refund amount,refund total,"
    "remboursement,montant remboursé,rimborso,importo rimborsato,totale rimborsato,reembolso,importe reembolsado,"
    "erstattung,erstattet,erstattungsbetrag,rückerstattung",
)
_CURRENCY: Final = _field(
    "currency",
    "Currency",
    Content.TEXT,
    "order currency,currency code,devise,monnaie,valuta,divisa,moneda,währung,base currency",
)
_COUPON: Final = _field(
    "coupon_code",
    "Coupon code",
    Content.TEXT,
    "coupon,coupons,coupon code,discount code,voucher,promo code,coupon(s),"
    "code promo,bon de réduction,code de réduction,buono,codice sconto,codice promozionale,coupon sconto,"
    "cupón,código de descuento,vale,gutschein,gutscheincode,rabattcode,aktionscode",
)
_SKU: Final = _field(
    "sku",
    "Product’s SKU",
    Content.ID,
    "item sku,product sku,product code,item code,article number,product reference,product id,item number,"
    "référence produit,réf produit,code article,code produit,sku produit,réf.,"
    "codice prodotto,codice articolo,cod. articolo,riferimento prodotto,sku prodotto,"
    "código de producto,código de artículo,referencia del producto,ref. producto,"
    "artikelnummer,artikelnr,artikel-nr.,produktnummer,artikelcode",
)
_PRODUCT: Final = _field(
    "product_name",
    "Product’s name",
    Content.TEXT,
    "product,item,item name,line item name,product title,description,"
    "produit,article,nom du produit,désignation,libellé,"
    "prodotto,articolo,nome prodotto,descrizione,descrizione articolo,nome articolo,"
    "producto,artículo,nombre del producto,descripción,"
    "produkt,artikel,artikelname,produktname,bezeichnung,artikelbezeichnung",
)
_CATEGORY: Final = _field(
    "category",
    "Product’s category",
    Content.TEXT,
    "product category,item category,categories,catégorie,catégorie produit,categoria,categoria prodotto,"
    "categoría,kategorie,warengruppe,produktkategorie",
)
_BRAND: Final = _field(
    "brand",
    "Product’s brand",
    Content.TEXT,
    "vendor,manufacturer,product brand,marque,fabricant,marca,produttore,fabricante,marke,hersteller",
)
_QUANTITY: Final = _field(
    "quantity",
    "Quantity",
    Content.AMOUNT,
    "qty,item quantity,units,item qty,product quantity,quantity (- refund),pieces,"
    "quantité,qté,nombre d'articles,quantità,qtà,q.tà,qta,pezzi,cantidad,cant.,unidades,menge,anzahl,stück,stückzahl",
)
_UNIT_PRICE: Final = _field(
    "unit_price",
    "Price of one",
    Content.AMOUNT,
    "price,item price,unit price tax incl,price each,item cost,"
    "prix,prix unitaire,pu ttc,prix unitaire ttc,prezzo,prezzo unitario,precio,precio unitario,"
    "preis,stückpreis,einzelpreis",
)
_LINE_TOTAL: Final = _field(
    "line_total",
    "Price of the line",
    Content.AMOUNT,
    "item total,line total,row total,order line total,total ligne,montant ligne,totale riga,importo riga,"
    "total línea,importe línea,zeilensumme,positionsbetrag,gesamtpreis position",
)
_LINE_ID: Final = _field("line_id", "Line’s id", Content.ID, "line item id,item id,order item id")
_LINE_NAME: Final = Field("name", _PRODUCT.label, _PRODUCT.content, _PRODUCT.names | {plain_word("name")})
_MESSAGE_ID: Final = _field("message_id", "Event’s id", Content.ID, "event id")
_ANONYMOUS_ID: Final = _field("anonymous_id", "Visitor’s id", Content.ID, "visitor id")
_EVENT: Final = _field("event", "Event", Content.TEXT, "event name,action,événement,evento,ereignis,metric")
_OCCURRED_AT: Final = _field(
    "occurred_at", "Happened on", Content.MOMENT, "date,time,timestamp,datetime,data,fecha,datum,zeitpunkt"
)
_PROPERTIES: Final = _field("properties", "Properties: JSON", Content.TEXT, "event properties")

_PERSON: Final = (
    _CUSTOMER_ID, _EMAIL, _PHONE, _FULL_NAME, _LAST_FIRST_NAME, _FIRST_NAME, _LAST_NAME, _COUNTRY, _CITY,
)  # fmt: skip
_CONTACT: Final = (
    *_PERSON, _LANGUAGE, _BIRTH_DATE, _NEWSLETTER, _ACCEPTS_NEWSLETTER, _SUBSCRIBED_AT, _CONFIRMED_AT,
    _UNSUBSCRIBED_AT, _FIRST_SEEN, _SOURCE, _TAGS,
)  # fmt: skip
_ORDER: Final = (
    _ORDER_ID, _PLACED_AT, _STATUS, _TOTAL, _DISCOUNT, _REFUNDED, _CURRENCY, _COUPON,
)  # fmt: skip
_LINE: Final = (_SKU, _LINE_NAME, _CATEGORY, _BRAND, _QUANTITY, _UNIT_PRICE, _LINE_ID)
_STRICT_CUSTOMER: Final = frozenset(
    {"full_name", "last_first_name", "accepts_newsletter", "confirmed_at", "unsubscribed_at", "tags"}
)

FIELDS: Final[Mapping[str, Sequence[Field]]] = {
    "contacts": _CONTACT,
    "sales": (
        *_ORDER, *_PERSON, _ACCEPTS_NEWSLETTER, _SKU, _PRODUCT, _CATEGORY, _BRAND, _QUANTITY, _UNIT_PRICE,
        _LINE_TOTAL, _LINE_ID,
    ),
    "order_lines": (_ORDER_ID, *_LINE),
    "customers": tuple(field for field in _CONTACT if field.name not in _STRICT_CUSTOMER),
    "orders": (*_ORDER, _CUSTOMER_ID),
    "events": (_MESSAGE_ID, _CUSTOMER_ID, _ANONYMOUS_ID, _EVENT, _OCCURRED_AT, _PROPERTIES),
}  # fmt: skip
"""The fields of each format whose columns staff can choose."""

# Names that mean different things beside other names.
_LAST_NAME_BESIDE_FIRST: Final = frozenset(map(plain_word, ("nom", "name")))
_FIRST_NAME_BESIDE_LAST: Final = frozenset(map(plain_word, ("nome", "nombre", "name")))
_NAMES: Final = _LAST_NAME_BESIDE_FIRST | _FIRST_NAME_BESIDE_LAST
_BARE_ID: Final = frozenset(
    map(plain_word, ("id", "number", "no", "nr", "numéro", "nummer", "code", "codice", "código"))
)
_OWN_ID: Final[Mapping[str, str]] = {
    "contacts": "customer_id", "customers": "customer_id", "sales": "order_id", "orders": "order_id",
}  # fmt: skip


def field_of(kind: str, name: str) -> Field | None:
    return next((field for field in FIELDS.get(kind, ()) if field.name == name), None)


def guess_fields(kind: str, columns: Sequence[str]) -> dict[str, str]:
    """Return the field of each column whose name says what it is. Each field has one column, the first in the file."""
    guessed: dict[str, str] = {}
    taken: set[str] = set()
    words = {column: plain_word(column) for column in columns}

    def assign(column: str, name: str) -> None:
        if name not in taken and column not in guessed and field_of(kind, name):
            guessed[column] = name
            taken.add(name)

    # Our own names first, so that ``Date`` does not take the place of ``placed_at``.
    for is_exact in (True, False):
        names_of = [
            (field.name, {plain_word(field.name)} if is_exact else field.names)
            for field in FIELDS.get(kind, ())
        ]
        for column in columns:
            for name, names in names_of:
                if words[column] in names:
                    assign(column, name)
    for column in columns:
        if words[column] in _NAMES and kind != "order_lines":
            is_last = "first_name" in taken and words[column] in _LAST_NAME_BESIDE_FIRST
            is_first = "last_name" in taken and words[column] in _FIRST_NAME_BESIDE_LAST
            assign(column, "last_name" if is_last else "first_name" if is_first else "full_name")
    for column in columns:
        if words[column] in _BARE_ID and kind in _OWN_ID:
            assign(column, _OWN_ID[kind])
    return guessed


def known_names(columns: Sequence[str]) -> int:
    """Return how many cells of a row are names that some field has."""
    return sum(plain_word(column) in _ALL_NAMES for column in columns if column)


_ALL_NAMES: Final = (
    frozenset(name for fields in FIELDS.values() for field in fields for name in field.names)
    | _NAMES
    | _BARE_ID
)

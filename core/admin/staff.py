"""Staff, their roles, and invitations."""

from functools import partial
from typing import Any, Final

from django.apps import apps
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Cast
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm

from core.mail import has_mail_server
from core.staff import invitations, rights
from core.templatetags.display import moment

from . import audit_log
from .display_names import DisplayNameAdmin
from .permissions import WRITE_METHODS, require_permissions, staff_user
from .protected_deletion import ProtectedDeletionAdmin
from .staff_forms import InvitationForm, PersonForm

LINK_CREATED: Final = "Created a link to choose a password."

apps.get_app_config("auth").verbose_name = "Administration"

for model in (User, Group):
    admin.site.unregister(model)


@admin.register(User)
class UserAdmin(DisplayNameAdmin, BaseUserAdmin):
    """Staff. Nobody changes an account with more permissions than their own: with its password they would have them.

    People with entries in the audit log are not deleted but made inactive.
    """

    display_names = ("member of staff", "staff")
    form = PersonForm
    add_form = InvitationForm
    add_form_template = None
    add_fieldsets = ((None, {"fields": ("email", "role", "first_name", "last_name", "username")}),)
    change_password_form = AdminPasswordChangeForm
    change_form_outer_after_template = "core/admin/password_link.html"
    list_before_template = "core/admin/invite_button.html"
    actions = ("send_link",)
    list_display = ("person", "email", "roles", "state", "last_seen")
    list_filter = ("is_active", "groups")
    readonly_fields = ("state", "last_seen", "date_joined", "own_permissions")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """Add when the latest link to choose a password was created, from the audit log."""
        of_person = Q(object_id=Cast(OuterRef("pk"), CharField())) & Q(
            content_type=ContentType.objects.get_for_model(User)
        )
        links = LogEntry.objects.filter(
            of_person, Q(action_flag=ADDITION) | Q(change_message=LINK_CREATED)
        ).order_by("-action_time")
        found: QuerySet[User] = super().get_queryset(request)
        return found.prefetch_related("groups").annotate(link_at=Subquery(links.values("action_time")[:1]))

    @display(description="Name", ordering="username")
    def person(self, user: User) -> str:
        name = user.get_full_name()
        below = user.get_username() if name and user.get_username() != user.email else ""
        return format_html(
            '<span class="stacked"><span>{}</span><small>{}</small></span>',
            name or user.get_username(),
            below,
        )

    @display(description="Role")
    def roles(self, user: User) -> str:
        groups = sorted(group.name for group in user.groups.all())
        return ", ".join(["Superuser", *groups] if user.is_superuser else groups)

    @display(
        description="State",
        label={"active": "success", "invited": "info", "invitation expired": "warning", "inactive": "danger"},
    )
    def state(self, user: Any) -> str:
        if not user.is_active:
            return "inactive"
        if user.has_usable_password() or user.last_login:
            return "active"
        is_valid = user.link_at and timezone.now() - user.link_at < invitations.LINK_AGE
        return "invited" if is_valid else "invitation expired"

    @display(description="Last login", ordering="last_login")
    def last_seen(self, user: User) -> str:
        return moment(user.last_login) if user.last_login else "never"

    @display(description="Permissions besides the role")
    def own_permissions(self, user: User) -> str:
        return ", ".join(str(permission) for permission in user.user_permissions.all())

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Show the rarely needed fields only to superusers, and permissions besides the role only if there are some."""
        if obj is None:
            return self.add_fieldsets
        role = "role" if self.has_change_permission(request, obj) else "roles"
        own = ["own_permissions"] if obj.user_permissions.exists() else []
        advanced = (
            ["password", "is_staff", "is_superuser", "user_permissions"] if request.user.is_superuser else own
        )
        return (
            (None, {"fields": ("email", "first_name", "last_name", "username")}),
            ("Access", {"fields": (role, "is_active")}),
            ("Login", {"fields": ("state", "last_seen", "date_joined")}),
            *([("Advanced", {"fields": advanced, "classes": ("collapse",)})] if advanced else []),
        )

    def get_urls(self) -> list[URLPattern]:
        link = self.admin_site.admin_view(partial(send_link_page, self))
        return [path("<int:pk>/link/", link, name="auth_user_link"), *super().get_urls()]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_change(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_change(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Refuse to delete people with entries in the audit log, which would be deleted, too."""
        doomed = list(objs)
        reasons = [
            format_html(
                '{} has entries in <a class="link" href="{}?by={}">Activity</a>.'
                ' Make <a class="link" href="{}">the account</a> inactive instead.',
                one.get_username(),
                reverse("admin:admin_logentry_changelist"),
                one.pk,
                reverse("admin:auth_user_change", args=[one.pk]),
            )
            for one in User.objects.filter(
                pk__in=[one.pk for one in doomed], logentry__isnull=False
            ).distinct()
        ]
        if reasons:
            return [str(one) for one in doomed], {}, set(), reasons
        return super().get_deleted_objects(objs, request)

    # -- Invitations

    def get_form(self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any):
        form = super().get_form(request, obj, change=change, **kwargs)
        # The form class belongs to this request.
        setattr(form, "inviter" if obj is None else "editor", staff_user(request))
        return form

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save a new colleague without a password. They choose it with the invitation."""
        if not change:
            obj.is_staff = True
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if change:
            form.save_role()
        else:
            form.instance.groups.set([form.cleaned_data["role"]])

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        if add:
            return f"Invited as {form.cleaned_data['role']}."
        if "role" in form.changed_data:
            return f"Changed {', '.join(form.changed_data)}. The role is now {form.cleaned_data['role'] or 'none'}."
        return super().construct_change_message(request, form, formsets, add)

    def response_add(
        self, request: HttpRequest, obj: User, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Send the invitation, or show its link in this response: it is not stored."""
        return self.send_or_show(request, [obj], "Invitation") or redirect("admin:auth_user_changelist")

    @admin.action(description="Send a link to choose a password", permissions=["change"])
    def send_link(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """Send a link to new colleagues, or to those who forgot their password."""
        chosen = [one for one in queryset if _may_change(request, one) and one.is_active and one.is_staff]
        if not chosen:
            messages.warning(request, "Links can be sent only to active staff whom you may change.")
            return None
        audit_log.log_changes(request, chosen, LINK_CREATED)
        return self.send_or_show(request, chosen, "Links to choose a password")

    def render_change_form(self, request: HttpRequest, context: dict, *args: Any, **kwargs: Any):
        """Offer a link to choose a password to those who may have one."""
        user = kwargs.get("obj")
        may_send = user and user.is_active and user.is_staff and self.has_change_permission(request, user)
        context |= {"may_send_link": may_send, "link_lifetime": invitations.LINK_LIFETIME}
        return super().render_change_form(request, context, *args, **kwargs)

    def send_or_show(self, request: HttpRequest, people: list[User], title: str) -> HttpResponse | None:
        shown = []
        for person in people:
            link = invitations.password_link(person, request)
            if invitations.send_password_link(person, link, staff_user(request)):
                messages.success(request, f"A link to choose a password was sent to {person.email}.")
            else:
                shown.append((person, link))
        if not shown:
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "links": shown,
            "link_lifetime": invitations.LINK_LIFETIME,
            "has_server": has_mail_server(),
        }
        response = TemplateResponse(request, "core/admin/invitation.html", context)
        add_never_cache_headers(response)
        return response


@require_permissions("auth.change_user", methods=WRITE_METHODS)
def send_link_page(model_admin: UserAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Send one person a link to choose a password."""
    people = User.objects.filter(pk=get_object_or_404(User, pk=pk).pk)
    return model_admin.send_link(request, people) or redirect("admin:auth_user_change", pk)


def _may_change(request: HttpRequest, user: User | None) -> bool:
    return user is None or rights.may_manage(staff_user(request), user)


@admin.register(Group)
class GroupAdmin(DisplayNameAdmin, ProtectedDeletionAdmin, BaseGroupAdmin):  # type: ignore[misc]
    """Groups. A group with members is not deleted: its members would lose their permissions.

    Nobody gives a group permissions that they lack, or edits one with more.
    """

    display_names = ("role", "roles")
    list_display = ("name",)
    used_by = ("user",)

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        field: Any = super().formfield_for_manytomany(db_field, request, **kwargs)
        if db_field.name == "permissions" and request is not None:
            grantable = rights.grantable_permissions(staff_user(request)).values("pk")
            field.queryset = field.queryset.filter(pk__in=grantable)
        return field

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_change_role(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_change_role(request, obj)


def _may_change_role(request: HttpRequest, group: Group | None) -> bool:
    return group is None or rights.may_change_role(staff_user(request), group)
